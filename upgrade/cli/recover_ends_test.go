package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// The host's own attempts end with a result, and with an exit status that systemd does not repeat.
func TestRecoverEnds(t *testing.T) {
	h := newFakeHost(t)
	h.leave()
	record := h.record()
	_, record.Run.TriedIn = host.Process()
	record.Run.Tries = 8
	if err := record.Save(filepath.Join(h.root, state.Path)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir()) // neither nft nor systemctl
	h.acts["undo stop"] = func(context.Context, *phase.Operation) error { t.Error("tried again"); return nil }
	args := []string{"host", "recover", "--boot"}
	if code := h.main(t.Context(), args, strings.NewReader(""), os.Stderr, os.Stderr); code != phase.ExitNotRolledBack {
		t.Errorf("exit code %d", code)
	}
	wants(t, h.upgrade(t.Context(), "check"), phase.ExitNotRolledBack, "needs a person")
}

// A run is undone whatever has become of the policy file: a typo, a key of a newer version, a file that
// cannot be read. The next check, which needs the file, then says what is wrong with it.
func TestRecoverWithABrokenPolicy(t *testing.T) {
	breaks := map[string]func(*fakeHost){
		"typo":      func(h *fakeHost) { writeConfig(t, h, "window: Sundays at three\n") },
		"newer key": func(h *fakeHost) { writeConfig(t, h, "of_tomorrow: 1\n") },
		"no YAML":   func(h *fakeHost) { writeConfig(t, h, "{{{") },
		"unreadable": func(h *fakeHost) {
			if err := os.MkdirAll(filepath.Join(h.root, state.ConfigFile), 0o755); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, broken := range breaks {
		for _, args := range [][]string{{"host", "recover", "--boot"}, {"host", "recover", "--run", "20261122T010000Z-apply"}} {
			h := newFakeHost(t)
			h.leave()
			broken(h)
			code := h.main(t.Context(), args, strings.NewReader(""), os.Stderr, os.Stderr)
			if s := h.record(); code != 0 || s.Run != nil || s.History[0].Outcome != phase.OutcomeRolledBack {
				t.Errorf("%s, %v: exit code %d, record %+v", name, args, code, s)
			}
			log, err := os.ReadFile(filepath.Join(h.root, phase.JournalDir, "20261122T010000Z-apply.jsonl"))
			if err != nil || !strings.Contains(string(log), `"kind":"warn"`) || !strings.Contains(string(log), "upgrade.yaml") {
				t.Errorf("%s, %v: it says nothing of the file: %s, %v", name, args, log, err)
			}
		}
		for _, args := range [][]string{{"recover"}, {"check"}} {
			h := newFakeHost(t)
			h.leave()
			broken(h)
			got := h.upgrade(t.Context(), args...)
			if s := h.record(); s.Run != nil || !strings.Contains(got.stderr, "upgrade.yaml") {
				t.Errorf("%s, %v: %+v, record %+v", name, args, got, s)
			}
		}
	}
}

// The second half of a run behind its reboot needs no policy file either, and leaves the timers alone then.
func TestContinueWithABrokenPolicy(t *testing.T) {
	h := newFakeHost(t)
	h.acts["timers"] = phase.Timers{}.Run
	record := state.State{Run: &state.Run{ID: "20261122T010000Z-all", Operation: "all", Step: "stop", From: "7.7.0", To: "9.10.0", BootID: "the boot before",
		Started: time.Now(), StoppedAt: time.Now(), Stopped: true, System: &state.System{RebootFor: "a new kernel", Rebooting: time.Now()}}}
	if err := record.Save(filepath.Join(h.root, state.Path)); err != nil {
		t.Fatal(err)
	}
	writeConfig(t, h, "window: Sundays at three\n")
	args := []string{"host", "run", "--id", record.Run.ID, "--operation", "all", "--resume"}
	if code := h.main(t.Context(), args, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s := h.record(); s.Run != nil || s.Active != "9.10.0" || s.History[0].Outcome != phase.OutcomeDone {
		t.Errorf("record is %+v", s)
	}
}

// A lock that is held for a moment ends no recovery: nothing was done yet.
func TestRecoverWaitsForTheLock(t *testing.T) {
	h := newFakeHost(t)
	h.leave()
	lock, err := host.TakeLock(filepath.Join(h.root, host.LockPath), host.Holder{Who: "ada", Why: "bring the configuration"}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"host", "recover", "--run", "20261122T010000Z-apply"}
	if code := h.main(t.Context(), args, strings.NewReader(""), os.Stderr, os.Stderr); code != phase.ExitLocked {
		t.Errorf("exit code %d", code)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if code := h.main(t.Context(), args, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 || h.record().Run != nil {
		t.Errorf("exit code %d, record %+v", code, h.record())
	}
}

// A run that could not be continued behind its reboot, as another held the lock, is undone: it has said a
// result, and yet nothing was done.
func TestRunThatWasNotContinued(t *testing.T) {
	h := newFakeHost(t)
	h.leave()
	record := h.record()
	record.Run.BootID, record.Run.System = "the boot before", &state.System{RebootFor: "a new kernel", Rebooting: time.Now()}
	if err := record.Save(filepath.Join(h.root, state.Path)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, h, filepath.Join(phase.JournalDir, record.Run.ID+".jsonl"), `{"kind":"result"}`+"\n")
	if code := h.main(t.Context(), []string{"host", "recover", "--run", record.Run.ID}, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s := h.record(); s.Run != nil || s.History[0].Outcome != phase.OutcomeRolledBack {
		t.Errorf("record is %+v", s)
	}
}
