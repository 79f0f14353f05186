package phase

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

func find(phases []Phase, title string) *step {
	for _, p := range phases {
		if p.ID() == title {
			switch u := p.(type) {
			case undoStep:
				return u.step
			case limitedStep:
				return u.step
			}
			return p.(*step)
		}
	}
	panic(title)
}

// A canceled run must be put back on a context that is not.
func TestInterruptPutsBackOnALivingContext(t *testing.T) {
	w, op := newWorld()
	phases := w.phases()
	ctx, cancel := context.WithCancelCause(t.Context())
	find(phases, "swap").run = func(ctx context.Context, _ *Operation) error {
		w.Active = "2"
		cancel(ErrInterrupted)
		<-ctx.Done()
		return ctx.Err()
	}
	undo := find(phases, "swap").undo
	find(phases, "swap").undo = func(ctx context.Context, op *Operation) error {
		if err := ctx.Err(); err != nil {
			t.Errorf("undo was given a dead context: %v", err)
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("undo has no deadline")
		}
		return undo(ctx, op)
	}
	report, err := Run(ctx, phases, op)
	if !errors.Is(err, ErrInterrupted) || report.Exit != ExitInterrupted || report.Outcome != OutcomeInterrupted {
		t.Errorf("error %v, report %+v", err, report)
	}
	if w.Active != "1" || !w.Up {
		t.Errorf("the world is %+v", w)
	}
}

func TestALostLockEndsTheRun(t *testing.T) {
	w, op := newWorld()
	var lost func(error)
	op.Lock = func(_ context.Context, _ string, l func(error)) (func() error, error) {
		lost = l
		return func() error { w.freed++; return nil }, nil
	}
	phases := w.phases()
	find(phases, "stop").run = func(ctx context.Context, op *Operation) error {
		lost(host.ErrLockLost)
		<-ctx.Done()
		return errors.New("systemctl: signal: terminated")
	}
	_, err := Run(t.Context(), phases, op)
	if !errors.Is(err, host.ErrLockLost) {
		t.Errorf("error is %v", err)
	}
	if w.undone["fetch"] != 1 || len(w.Litter) != 0 {
		t.Errorf("the world is %+v", w)
	}
}

// A downtime that goes on after the run is not reported as one that is over.
func TestReportSaysThatItIsStillDown(t *testing.T) {
	for undo, down := range map[error]bool{nil: false, errors.New("read-only file system"): true} {
		w, op := newWorld()
		phases := w.phases()
		fail(phases, "swap", errors.New("boom"))
		find(phases, "swap").undo = func(context.Context, *Operation) error { return undo }
		if report, err := Run(t.Context(), phases, op); err == nil || report.Down != down {
			t.Errorf("error %v, still down: %v", err, report.Down)
		}
	}
}

func TestUndoThatFailsWhileDownStopsThere(t *testing.T) {
	w, op := newWorld()
	phases := w.phases()
	fail(phases, "open", errors.New("boom"))
	find(phases, "swap").undo = func(context.Context, *Operation) error { return errors.New("read-only file system") }
	report, err := Run(t.Context(), phases, op)
	var not *NotRolledBack
	if !errors.As(err, &not) || report.Exit != ExitNotRolledBack {
		t.Fatalf("error is %v", err)
	}
	if w.undone["stop"] != 0 {
		t.Error("the old version was started on something half put back")
	}
	if w.disk.Run == nil || w.freed != 1 {
		t.Errorf("the run must stay in the record, the lock must not: %+v", w)
	}
	for _, part := range []string{"boom", "read-only file system"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestUndoThatFailsWhenAllServesAgainIsAWarning(t *testing.T) {
	w, op := newWorld()
	phases := w.phases()
	fail(phases, "open", errors.New("boom"))
	find(phases, "fetch").undo = func(context.Context, *Operation) error { return errors.New("busy") }
	report, err := Run(t.Context(), phases, op)
	var back *RolledBack
	if !errors.As(err, &back) || len(report.Warnings) != 1 || w.disk.Run != nil {
		t.Errorf("error %v, report %+v", err, report)
	}
}

func TestAPanicIsPutBack(t *testing.T) {
	w, op := newWorld()
	phases := w.phases()
	find(phases, "swap").run = func(context.Context, *Operation) error { w.Active = "2"; panic("index out of range") }
	_, err := Run(t.Context(), phases, op)
	if Code(err) != ExitRolledBack || w.Active != "1" || !w.Up {
		t.Errorf("error %v, world %+v", err, w)
	}
}

func TestOnlyTheVersionsOwnFaultIsRemembered(t *testing.T) {
	for _, bad := range []bool{true, false} {
		w, op := newWorld()
		phases := w.phases()
		err := errors.New("no route to host")
		if bad {
			err = &BadVersion{Version: "2", Cause: err}
		}
		fail(phases, "open", err)
		_, _ = Run(t.Context(), phases, op)
		if _, is := w.disk.Bad["2"]; is != bad {
			t.Errorf("skip list is %v, the version's own fault: %v", w.disk.Bad, bad)
		}
	}
}

func TestProblemsBeforeTheLockAreARefusal(t *testing.T) {
	w, op := newWorld()
	phases := w.phases()
	fail(phases, "facts", problem.List{{Where: "disk", Found: "1 GB"}})
	op.Save = func() error { t.Error("saved"); return nil }
	report, err := Run(t.Context(), phases, op)
	if Code(err) != ExitRefused || len(report.Problems) != 1 || report.Outcome != OutcomeRefused {
		t.Errorf("error %v, report %+v", err, report)
	}
}

// cutAt runs the phases and stops dead, as the power does, when title begins; it returns the
// record as the disk has it.
func cutAt(t *testing.T, w *world, op *Operation, title string) *state.State {
	t.Helper()
	phases := w.phases()
	gone := errors.New("gone")
	find(phases, title).run = func(context.Context, *Operation) error { panic(gone) }
	func() {
		defer func() {
			if recover() == nil {
				t.Fatal("nothing was cut")
			}
		}()
		l := newLog(op)
		op.cancel = func(error) {}
		for _, p := range phases {
			op.current = p
			if op.Record.Run != nil {
				op.Record.Run.Step = p.ID()
			}
			if err := p.Run(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
		_ = l
	}()
	data, err := json.Marshal(w.disk)
	if err != nil {
		t.Fatal(err)
	}
	record, err := state.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// TestAfterAPowerCut: the next run puts the record's run back before anything else, then goes on.
func TestAfterAPowerCut(t *testing.T) {
	for _, title := range []string{"fetch", "stop", "swap", "open", "commit"} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, op := newWorld()
				left := cutAt(t, w, op, title)
				time.Sleep(time.Hour)
				if left.Run == nil {
					t.Fatal("no run in the record")
				}
				_, next := newWorld()
				next.ID = "20261122T020000Z-apply"
				next.Record = left
				next.Save = func() error { w.disk = *next.Record; return nil }
				if _, err := Run(t.Context(), w.phases(), next); err != nil {
					t.Fatal(err)
				}
				if w.Active != "2" || !w.Up || w.disk.Run != nil || len(w.disk.History) != 2 {
					t.Errorf("the world is %+v, its record %+v", w, w.disk)
				}
				if h := w.disk.History[0]; h.Outcome != OutcomeRolledBack || h.ID == next.ID {
					t.Errorf("history is %+v", w.disk.History)
				}
			})
		})
	}
}

// A run that was committed and then cut is done: nothing is put back.
func TestAfterAPowerCutBehindCommit(t *testing.T) {
	w, op := newWorld()
	op.Record.Run = &state.Run{ID: "20261122T000000Z-apply", Operation: "apply", To: "2", Committed: true}
	if err := Recover(t.Context(), w.phases(), op); err != nil {
		t.Fatal(err)
	}
	if len(w.undone) != 0 || op.Record.Run != nil || op.Record.History[0].Outcome != OutcomeDone {
		t.Errorf("undone %v, record %+v", w.undone, op.Record)
	}
}

func TestARunThatLivesIsNotPutBack(t *testing.T) {
	w, op := newWorld()
	op.Record.Run = &state.Run{ID: "20261122T000000Z-apply", Operation: "apply", To: "2"}
	op.Lock = func(context.Context, string, func(error)) (func() error, error) {
		return nil, &host.LockedError{Holder: host.Holder{Who: "ada@laptop"}}
	}
	_, err := Run(t.Context(), w.phases(), op)
	if Code(err) != ExitLocked || len(w.undone) != 0 || len(w.ran) != 0 {
		t.Errorf("error %v, undone %v, ran %v", err, w.undone, w.ran)
	}
}

// A run that came to its end and was killed before it could say so is not put back, and has not failed.
func TestAResultThatWasNotSaid(t *testing.T) {
	for outcome, want := range map[string]int{OutcomeDone: ExitDone, OutcomeRolledBack: ExitRolledBack, OutcomeInterrupted: ExitInterrupted} {
		w, op := newWorld()
		op.Record.History = []state.Finished{{ID: op.ID, To: "2", Outcome: outcome}, {ID: "20261122T020000Z-os", Outcome: OutcomeFailed}}
		report, err := Repair(t.Context(), w.phases(), op)
		if err != nil || report.Exit != want || report.Outcome != outcome || report.To != "2" || len(w.undone) != 0 {
			t.Errorf("report %+v, error %v", report, err)
		}
		if last := w.events[len(w.events)-1]; last.Kind != Result {
			t.Errorf("no result was said: %+v", w.events)
		}
	}
}

// What is to be tried again is not closed, though the service was never stopped.
func TestUndoThatIsToBeTriedAgain(t *testing.T) {
	w, op := newWorld()
	phases := w.phases()
	fail(phases, "fetch", errors.New("boom"))
	find(phases, "fetch").undo = func(context.Context, *Operation) error { return ErrUnreachable }
	_, err := Run(t.Context(), phases, op)
	var not *NotRolledBack
	if !errors.As(err, &not) || w.disk.Run == nil {
		t.Errorf("error %v, record %+v", err, w.disk)
	}
}

// A run left unfinished is undone by the steps of its own operation, whichever one begins next.
func TestAnotherOperationsRun(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, op := newWorld()
		var undone []string
		restore := undoStep{&step{title: "exchange", w: w, undo: func(_ context.Context, op *Operation) error {
			undone = append(undone, op.Record.Run.Operation)
			op.Record.Run.Stopped = false
			return nil
		}}}
		if known {
			op.Operations = map[string]Sequence{"restore": {All: []Phase{restore}}}
		}
		op.Record.Run = &state.Run{ID: "20261122T000000Z-restore", Operation: "restore", From: "1", To: "1", Stopped: true}
		report, err := Run(t.Context(), w.phases(), op)
		switch {
		case known && (err != nil || len(undone) != 1 || w.Active != "2" || w.disk.History[0].Operation != "restore"):
			t.Errorf("undone %v, error %v, record %+v", undone, err, w.disk)
		case !known && (err == nil || !strings.Contains(err.Error(), `"restore"`) || report.Exit != ExitError || len(w.ran)+len(w.undone) > 0 || op.Record.Run == nil):
			t.Errorf("ran %v, undone %v, error %v, record %+v", w.ran, w.undone, err, op.Record)
		}
	}
}

// finishing is the last step of a run, which was killed after it had committed.
type finishing struct {
	*step
	finished *int
}

func (f finishing) Finish(context.Context, *Operation) error {
	*f.finished++
	return errors.New("permission denied")
}

// What a run still has to do once nothing is undone any more is done at its recovery, and closes it.
func TestACommittedRunIsFinished(t *testing.T) {
	w, op := newWorld()
	finished := 0
	op.Record.Run = &state.Run{ID: "20261122T000000Z-restore", Operation: "restore", To: "2", Committed: true}
	op.Operations = map[string]Sequence{"restore": {All: []Phase{finishing{&step{title: "commit", w: w}, &finished}}}}
	report, err := Run(t.Context(), w.phases(), op)
	if err != nil || finished != 1 || w.disk.Run != nil || w.disk.History[0].Outcome != OutcomeDone {
		t.Errorf("finished %d times, error %v, record %+v", finished, err, w.disk)
	}
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "permission denied") {
		t.Errorf("warnings %q", report.Warnings)
	}
}
