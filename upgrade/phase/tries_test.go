package phase

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
)

// leftStopped is a run that was killed with the service stopped, on a server whose way back fails with err.
func leftStopped(t *testing.T, err *error) (*world, *Operation, []Phase) {
	t.Helper()
	w, op := newWorld()
	op.Record.Run = &state.Run{ID: op.ID, Operation: "apply", From: "1", To: "2", Unit: "mattermost.service", User: "root", Port: 8065, Stopped: true, Again: true}
	phases := w.phases()
	undo := find(phases, "stop").undo
	find(phases, "stop").undo = func(ctx context.Context, op *Operation) error {
		if *err != nil {
			return *err
		}
		return undo(ctx, op)
	}
	return w, op, phases
}

// The host's own attempts end, with the service stopped and a result. An operator may try again, and the
// next boot does.
func TestRecoveryEnds(t *testing.T) {
	calls := play(t, "")
	why := fmt.Errorf("%w: the dump cannot be restored", errUnproven)
	w, op, phases := leftStopped(t, &why)
	op.Automatic = true
	var err error
	tries := 0
	for ; tries < 100; tries++ {
		if _, err = Repair(t.Context(), phases, op); !errors.Is(err, ErrAgain) {
			break
		}
	}
	var not *NotRolledBack
	if !errors.As(err, &not) || tries != undoTries-1 || op.Record.Run == nil || op.Record.Run.Again {
		t.Fatalf("after %d attempts: %v, %+v", tries+1, err, op.Record.Run)
	}
	last := w.events[len(w.events)-1]
	if last.Kind != Result || !strings.Contains(last.Text, "the dump cannot be restored") || strings.Contains(last.Text, "tries again by itself") {
		t.Errorf("it says %+v", last)
	}
	if log := calls(); !strings.HasSuffix(log, "nft close\nsystemctl kill --signal=KILL mattermost.service\nsystemctl stop mattermost.service\nsystemctl reset-failed mattermost.service\n") {
		t.Errorf("it did\n%s", log)
	}

	undone := w.undone["stop"]
	if _, err := Repair(t.Context(), phases, op); Code(err) != ExitNotRolledBack || w.undone["stop"] != undone {
		t.Errorf("another attempt of its own: %v", err)
	}
	op.Automatic = false
	if _, err := Repair(t.Context(), phases, op); Code(err) != ExitNotRolledBack || w.undone["stop"] != undone+1 || errors.Is(err, ErrAgain) {
		t.Errorf("an operator's: %v", err)
	}
	op.Automatic, op.Record.Run.TriedIn, why = true, "the boot before", nil
	if _, err := Repair(t.Context(), phases, op); Code(err) != ExitRolledBack || op.Record.Run != nil {
		t.Errorf("at the next boot: %v", err)
	}
}

// A database that does not answer is waited for, however often.
func TestRecoveryWaitsForTheDatabase(t *testing.T) {
	why := ErrUnreachable
	_, op, phases := leftStopped(t, &why)
	op.Automatic = true
	for range 3 * undoTries {
		if _, err := Repair(t.Context(), phases, op); !errors.Is(err, ErrAgain) || Pause(op.Record.Run) > 0 {
			t.Fatal(err)
		}
	}
}

// The way back may take as long as the database is large, and never less than what any may take.
func TestUndoLimit(t *testing.T) {
	for _, c := range []struct {
		name     string
		dumped   state.Measured
		patience time.Duration
		want     time.Duration
	}{
		{"nothing is known", state.Measured{}, 0, 30 * time.Minute},
		{"1 GB", state.Measured{Bytes: 1 << 30, Took: 8 * time.Second}, 0, 30 * time.Minute},
		{"100 GB", state.Measured{Bytes: 100 << 30, Took: 10 * time.Minute}, 0, 3 * 3500 * time.Second},
		{"100 GB on a slow disk", state.Measured{Bytes: 100 << 30, Took: time.Hour}, 0, 15 * time.Hour},
		{"a patient operator", state.Measured{}, 2 * time.Hour, 2 * time.Hour},
	} {
		op := &Operation{Record: &state.State{Dumped: c.dumped}, Config: state.Config{Patience: c.patience}}
		if got := undoLimit(op); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	none := error(nil)
	_, op, phases := leftStopped(t, &none)
	op.Record.Dumped = state.Measured{Bytes: 100 << 30}
	find(phases, "stop").undo = func(ctx context.Context, _ *Operation) error {
		if until, _ := ctx.Deadline(); time.Until(until) < 2*time.Hour {
			t.Errorf("it has %s", time.Until(until))
		}
		op.Record.Run.Stopped = false
		return nil
	}
	must(t, Recover(t.Context(), phases, op))
}

// The pauses before attempts grow. Before the first, at a fresh boot and after the last there is none.
func TestPause(t *testing.T) {
	_, boot := host.Process()
	for tries, want := range []string{"0s", "5s", "10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "0s"} {
		if got := Pause(&state.Run{TriedIn: boot, Tries: tries}).String(); got != want {
			t.Errorf("after %d attempts %s, want %s", tries, got, want)
		}
	}
	if got := Pause(&state.Run{TriedIn: "the boot before", Tries: 8}); got != 0 {
		t.Error(got)
	}
}
