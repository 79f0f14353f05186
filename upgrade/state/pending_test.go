package state

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"townsquare/upgrade/schedule"
)

func TestPending(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "pending.json")
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	note := func(p Pending) Pending {
		t.Helper()
		got, err := NotePending(path, schedule.Upgrade, p)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	note(Pending{})
	if _, err := os.Stat(path); err == nil {
		t.Error("nothing waits, and that is written down")
	}
	note(Pending{What: "9.10.1", Since: day(3)})
	if got := note(Pending{What: "9.10.2", Since: day(5), Security: day(5)}); got.Since != day(3) || got.Security != day(5) {
		t.Errorf("a newer one: %+v", got)
	}
	if got := note(Pending{What: "9.10.3", Since: day(7), Security: day(7)}); got.Since != day(3) || got.Security != day(5) {
		t.Errorf("the next: %+v", got)
	}
	if got := note(Pending{What: "9.10.2", Since: day(8)}); !got.Security.IsZero() {
		t.Errorf("the security fix is withdrawn: %+v", got)
	}
	if _, err := NotePending(path, schedule.System, Pending{What: "2 packages", Since: day(8)}); err != nil {
		t.Fatal(err)
	}
	note(Pending{})
	waits, err := LoadPending(path)
	if err != nil || len(waits) != 1 || waits[schedule.System].Since != day(8) {
		t.Errorf("%+v, %v", waits, err)
	}
	if err := os.WriteFile(path, []byte(`{"os": {"wh`), 0o600); err != nil {
		t.Fatal(err)
	}
	if waits, err := LoadPending(path); err != nil || len(waits) != 0 {
		t.Errorf("cut short: %+v, %v", waits, err)
	}
}
