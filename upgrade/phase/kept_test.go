package phase

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/state"
)

// cancelled is a phase in whose course users write, and an operator cancels the run.
type cancelled struct {
	h   *smallHost
	ill bool // the new version stops to answer meanwhile
}

func (cancelled) ID() string    { return "cancelled" }
func (cancelled) Title() string { return "watch" }
func (c cancelled) Run(context.Context, *Operation) error {
	c.h.post("9999999999999")
	c.h.ill.Store(c.ill)
	return ErrInterrupted
}

// A run that is cancelled when users have written on the new version, and cannot be rolled back without
// their loss, ends with the new version: as a success where it is running, and as an alarm where it is not.
func TestCancelledTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		ill  bool
		exit int
	}{
		"it is running":   {exit: ExitDone},
		"it does not run": {ill: true, exit: ExitNotRolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			h := newSmallHost(t)
			old, target := filepath.Join(h.dir, "versions/7.7.0"), filepath.Join(h.dir, "versions/9.10.0")
			phases := []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old, NewTarget: target,
				Address: h.op.Facts.Health.URL, Port: 8065, Migrates: true, SchemaTarget: 101}},
				Stop{}, Checkpoint{}, Swap{}, Start{}, Verify{}, Open{}, cancelled{h, c.ill}}
			report, err := Run(t.Context(), phases, h.op)
			if report.Exit != c.exit {
				t.Fatalf("exit code %d, want %d: %v", report.Exit, c.exit, err)
			}
			if link, err := os.Readlink(h.link); err != nil || link != target {
				t.Errorf("the install path leads to %s: %v", link, err)
			}
			var not *NotRolledBack
			if c.ill && !errors.As(err, &not) {
				t.Errorf("error %v", err)
			}
			if !c.ill && !strings.Contains(strings.Join(report.Warnings, "\n"), "cancelled too late: users wrote 1 post on 9.10.0") {
				t.Errorf("warnings %q", report.Warnings)
			}
			if h.op.Record.Run != nil {
				t.Errorf("the run is still in the record: %+v", h.op.Record.Run)
			}
		})
	}
}

// A recovery that leaves the new version, as only that has what users wrote, closes the run: nothing is left
// to undo.
func TestKeptByTheRecovery(t *testing.T) {
	h := newSmallHost(t)
	old, target := filepath.Join(h.dir, "versions/7.7.0"), filepath.Join(h.dir, "versions/9.10.0")
	phases := []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old, NewTarget: target,
		Address: h.op.Facts.Health.URL, Port: 8065, Migrates: true, SchemaTarget: 101}},
		Stop{}, Checkpoint{}, Swap{}, Start{}, Verify{}, Open{}, cancelled{h, false}}
	func() {
		defer func() { _ = recover() }()
		h.op.Leave = func() bool { panic("killed") }
		_, _ = Run(t.Context(), phases, h.op)
	}()
	if h.op.Record.Run == nil {
		t.Fatal("the run was not killed")
	}
	h.op.Record.Run.PID, h.op.Leave = 0, nil
	err := Recover(t.Context(), phases, h.op)
	if Code(err) != ExitNotRolledBack || h.op.Record.Run != nil {
		t.Errorf("error %v, record %+v", err, h.op.Record.Run)
	}
	if n := len(h.op.Record.History); n != 1 || h.op.Record.History[0].To != "9.10.0" {
		t.Errorf("history %+v", h.op.Record.History)
	}
}

// Of a run that an earlier version of this program began, the service's user is asked of systemd.
func TestUserOfAnOlderRun(t *testing.T) {
	play(t, "host=/nowhere user=mm dbname=mm")
	run := &state.Run{Unit: "mattermost.service", Link: t.TempDir(), ConfigPath: "/nowhere/config.json"}
	if err := knowUser(t.Context(), run); err != nil || run.User != "root" {
		t.Errorf("user %q: %v", run.User, err)
	}
}
