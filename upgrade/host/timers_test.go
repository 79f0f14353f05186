package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/state"
)

func TestTimers(t *testing.T) {
	root := t.TempDir()
	d := &systemd{}
	var fail error
	s := Service{Run: func(ctx context.Context, c Command) ([]byte, error) {
		if out, err := d.run(ctx, c); c.Args[0] == "show" {
			return out, err
		}
		return nil, fail
	}}
	set := func(timers []Timer) []string {
		t.Helper()
		d.told = nil
		changed, err := s.SetTimers(t.Context(), root, timers)
		if err != nil {
			t.Fatal(err)
		}
		d.on(timers)
		return changed
	}
	config := state.Config{Window: "Sun 03:00-05:00 Europe/Berlin"}
	fail = errors.New("no bus")
	if _, err := s.SetTimers(t.Context(), root, TimersOf(config)); err == nil || HasTimers(root) {
		t.Errorf("without systemd: %v", err)
	}
	fail = nil
	if changed := set(TimersOf(config)); len(changed) < 2 || d.told[0] != "daemon-reload" || !HasTimers(root) {
		t.Errorf("changed %v by %q", changed, d.told)
	}
	unit, err := os.ReadFile(filepath.Join(root, unitDir, "townsquare-upgrade.timer"))
	if text := string(unit); err != nil || !strings.Contains(text, "OnCalendar=Sun *-*-* 03:00:00 Europe/Berlin\nOnCalendar=Sun *-*-* 04:00:00 Europe/Berlin\n") ||
		!strings.Contains(text, "Persistent=true") || !strings.Contains(text, "Unit=townsquare-apply.service\n") || !strings.Contains(text, "RandomizedDelaySec=900") {
		t.Errorf("%s, %v", unit, err)
	}
	if unit, err := os.ReadFile(filepath.Join(root, unitDir, "townsquare-apply.service")); err != nil || !strings.Contains(string(unit), " apply --all --local --unattended\n") {
		t.Errorf("both are not done in one: %s, %v", unit, err)
	}
	if unit, err := os.ReadFile(filepath.Join(root, unitDir, "townsquare-os.timer")); err != nil || !strings.Contains(string(unit), "OnCalendar=Sun *-*-* 03:30:00 Europe/Berlin\n") {
		t.Errorf("the system does not let both go first: %s, %v", unit, err)
	}
	if _, err := os.Stat(filepath.Join(root, unitDir, Unit)); err == nil {
		t.Errorf("%s is the name of a run", Unit)
	}
	if changed := set(TimersOf(config)); len(changed) != 0 || len(d.told) != 0 {
		t.Errorf("again: changed %v by %q", changed, d.told)
	}
	config.Window = "Sat 03:00-05:00 Europe/Berlin"
	set(TimersOf(config))
	want := []string{"daemon-reload", "enable --quiet townsquare-upgrade.timer", "restart townsquare-upgrade.timer",
		"enable --quiet townsquare-os.timer", "restart townsquare-os.timer"}
	if diff := cmp.Diff(want, d.told); diff != "" {
		t.Errorf("another window: %s", diff)
	}
	config.Backup.Repository = "/srv/backup"
	if diff := cmp.Diff([]string{"townsquare-backup", "townsquare-verify"}, set(TimersOf(config))); diff != "" {
		t.Error(diff)
	}
	if changed := set(nil); len(changed) < 4 || HasTimers(root) {
		t.Errorf("switched off: %v", changed)
	}
	if left, _ := filepath.Glob(filepath.Join(root, unitDir, "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if changed := set(nil); len(changed) != 0 || len(d.told) != 0 {
		t.Errorf("off again: changed %v by %q", changed, d.told)
	}
}

// TestTimersSuitSystemd asks systemd itself, where it is.
func TestTimersSuitSystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd-analyze here; the machine tests look at the units, too")
		return
	}
	for _, window := range []string{"", "Sun 03:00-05:00 Europe/Berlin", "Mon-Fri 23:30-00:15; Sat,Sun 00:00-24:00 America/New_York"} {
		c := state.Config{Window: window, SecurityWithin: 72 * time.Hour, Backup: state.Backups{Repository: "/srv/backup"}}
		for _, timer := range TimersOf(c) {
			for _, at := range timer.On {
				if out, err := exec.CommandContext(t.Context(), analyze, "calendar", at).CombinedOutput(); err != nil || !strings.Contains(string(out), "Next elapse") {
					t.Errorf("%s: %q: %s", timer.Name, at, out)
				}
			}
			dir := t.TempDir()
			for name, text := range timer.files() {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, Upgrader, "/bin/true")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := exec.CommandContext(t.Context(), analyze, "verify", filepath.Join(dir, timer.Name+".timer")).CombinedOutput(); err != nil || strings.Contains(string(out), timer.Name) {
				t.Errorf("%s: %s %v", timer.Name, out, err)
			}
		}
	}
}
