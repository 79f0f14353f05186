package phase

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

// undoTimeout is the least that the whole way back may take. guessedRestore is what a database of a
// gigabyte takes to be restored from its dump, on two cores: four to five times as long as its dump with
// the verification.
const (
	undoTimeout    = 30 * time.Minute
	guessedRestore = 35 * time.Second
	restoreFactor  = 5
)

// undoLimit bounds the whole way back by three times what the restore of the last dump should take.
func undoLimit(op *Operation) time.Duration {
	dumped := op.Record.Dumped
	cost := max(time.Duration(dumped.Bytes>>20)*guessedRestore>>10, restoreFactor*dumped.Took)
	return max(undoTimeout, patience(op), 3*cost)
}

// Report is the outcome of one run: the Data of its last event, and what a person reads at the end.
type Report struct {
	state.Finished
	UpToDate  bool               `json:"up_to_date,omitempty"` // Done ended the run before anything was changed
	Why       string             `json:"why,omitempty"`        // why this target, or why none
	Behind    string             `json:"behind,omitempty"`     // of UpToDate: why no update will be installed on a server that should not stay as it is
	Waiting   string             `json:"waiting,omitempty"`    // a larger step, pending approval
	Trial     *Rehearsal         `json:"rehearsal,omitempty"`  // of a rehearsal: what was found
	Warnings  []string           `json:"warnings,omitempty"`
	Problems  []problem.Problem  `json:"problems,omitempty"`   // of a refusal
	Hint      string             `json:"hint,omitempty"`       // what to type about the error
	Skipped   bool               `json:"skipped,omitempty"`    // To is on the host's skip list now
	Reboot    system.Reboot      `json:"reboot,omitzero"`      // one that is needed still
	Held      []string           `json:"held,omitempty"`       // packages on hold
	Backup    *BackupReport      `json:"backup,omitempty"`     // made, verified or restored
	Drift     []drift.Difference `json:"drift,omitempty"`      // what differs from the stack still
	Down      bool               `json:"still_down,omitempty"` // the downtime goes on after the run
	Recovered string             `json:"recovered,omitempty"`  // the run that was left unfinished, and was recovered before this one
	Timers    []string           `json:"timers,omitempty"`     // of UpToDate: those that were set as the configuration says, all the same
	Exit      int                `json:"exit"`                 // the exit code of the command
}

// Outcomes of a finished run.
const (
	OutcomeDone          = "done"
	OutcomeRefused       = "refused" // by the checks, before anything was changed
	OutcomeFailed        = "failed"  // before the service was stopped
	OutcomeRolledBack    = "rolled-back"
	OutcomeNotRolledBack = "not-rolled-back"
	OutcomeInterrupted   = "interrupted" // and put back, if it had begun
	OutcomeLater         = "later"       // unattended, and outside the host's window: nothing was changed
)

// Run does the phases in order. When one fails, or ctx ends, it undoes those that began, the last
// first, on a context of its own that ctx cannot cancel, and the error says how that went:
//
//   - nil: all done, or a phase returned Done;
//   - *Refused: a phase returned a problem.List before the lock was taken; nothing was changed;
//   - nil, with OutcomeLater in the report, when a phase returned *Later before the lock was taken;
//   - *host.LockedError: someone else is at work;
//   - *RolledBack: failed after the service was stopped, and everything is back;
//   - *NotRolledBack: failed, and so did putting back; the run stays in the record, and the next
//     run puts it back before anything else;
//   - ErrInterrupted within any of these: a person or systemd ended it;
//   - anything else: failed before the service was stopped; nothing is left behind.
//
// A run that the record shows as unfinished, as after a power cut, is put back first.
//
// An undo that fails while the service is down ends the way back: to start the old version on what
// is half put back would let users write what the next attempt throws away. So does an ErrAgain. One
// that fails otherwise when the old version serves again leaves only litter, and is a warning.
//
// Once a phase has saved Run.Committed, nothing is undone any more: what fails then is a warning.
// The outcome goes to the record's history, if the run got as far as the lock, and, as the last
// event, to Emit.
func Run(ctx context.Context, phases []Phase, op *Operation) (Report, error) {
	return report(ctx, op, func(ctx context.Context, l *log, r *Report) error {
		if err := Recover(ctx, phases, op); err != nil {
			return err
		}
		return forward(ctx, phases, 0, op, l, r)
	})
}

// report calls work and makes its outcome known.
func report(ctx context.Context, op *Operation, work func(context.Context, *log, *Report) error) (Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	op.cancel = cancel
	l := newLog(op)
	r := Report{Finished: state.Finished{ID: op.ID, Operation: op.Name, Started: time.Now().UTC()}}

	err := work(ctx, l, &r)
	if errors.Is(err, ErrLeft) || errors.Is(err, ErrRebooting) { // no result and no outcome: the run is not over
		op.Warn("%v", err)
		if op.release != nil {
			err = errors.Join(err, op.release())
		}
		return r, err
	}
	r.Ended = time.Now().UTC()
	r.From, r.To, r.Why = from(op), target(op), op.Choice.Why
	if w := op.Choice.Waiting; w != nil {
		r.Waiting = w.Version.String()
	}
	r.Downtime, r.Phases, r.Warnings, r.Trial, r.Backup = l.downtime(), l.times, l.warnings, op.Trial, op.Backup
	r.Down = !l.down.IsZero()
	r.Outcome, r.Exit = outcome(err), Code(err)
	var later *Later
	if errors.As(err, &later) {
		r.Why, err = later.Error(), nil
	}
	_, r.Skipped = op.Record.Bad[r.To]
	op.reportSystem(&r)
	if r.Repaired = op.repaired; op.Drift != nil {
		r.Drift = op.Drift.Differences
	}
	if err != nil {
		r.Error, r.Hint = op.conceal(err.Error()), Hint(err)
		var list problem.List
		if r.Exit == ExitRefused && errors.As(err, &list) {
			r.Problems = list
		}
	}
	if e := finish(op, r); e != nil {
		err = errors.Join(err, e)
		r.Exit = Code(err)
	}
	op.current = nil
	op.Emit(Event{Kind: Result, Text: r.Error, Data: r})
	return r, err
}

// forward runs the phases from the one numbered first on, and back what began when one fails.
func forward(ctx context.Context, phases []Phase, first int, op *Operation, l *log, r *Report) error {
	for i := first; i < len(phases); i++ {
		p := phases[i]
		op.current = p
		if run := op.Record.Run; run != nil {
			run.Step = p.ID() // saved with what the phase saves, before it changes something
		}
		began := time.Now()
		op.Emit(Event{Kind: Begin})
		err := context.Cause(ctx)
		if err == nil {
			limit := time.Duration(0)
			if l, ok := p.(Limited); ok {
				limit = l.Limit(op)
			}
			bounded, cancel := op.within(ctx, limit, p.Title())
			err = do(bounded, p.Run, op)
			cancel()
		}
		var later *Later
		if err == nil || errors.Is(err, Done) || op.Record.Run == nil && errors.As(err, &later) {
			l.took(p, time.Since(began))
			op.Emit(Event{Kind: End, Took: time.Since(began)})
			if later != nil {
				return later
			}
			if err != nil {
				r.UpToDate = op.Record.Run == nil
				return nil
			}
			continue
		}
		if cause := context.Cause(ctx); cause != nil { // what the phase says of it is only the consequence
			err = cause
		}
		op.Emit(Event{Kind: Failed, Text: err.Error(), Took: time.Since(began)})
		return back(ctx, phases[:i+1], op, err)
	}
	return nil
}

// back undoes phases after cause and wraps cause in what that led to.
func back(ctx context.Context, phases []Phase, op *Operation, cause error) error {
	run := op.Record.Run
	var (
		list   problem.List
		choice *release.ChoiceError
	)
	switch {
	case run == nil && errors.As(cause, &list):
		return &Refused{Problems: list}
	case run == nil && errors.As(cause, &choice):
		return &Refused{Problems: choice.Problems}
	case run == nil:
		return cause
	case run.Committed:
		op.Warn("%v", cause)
		return nil
	case op.Leave != nil && errors.Is(cause, ErrInterrupted) && op.Leave():
		if run.Rebooting() {
			return ErrRebooting
		}
		return ErrLeft
	}
	var bad *BadVersion
	if errors.As(cause, &bad) {
		if op.Record.Bad == nil {
			op.Record.Bad = map[string]state.Bad{}
		}
		op.Record.Bad[bad.Version] = state.Bad{Since: time.Now().UTC(), Reason: op.conceal(bad.Error()), Run: op.ID}
		_ = op.Save() // what is left to undo is saved by those who undo it; a full disk must not stop them
	}
	stopped := run.Stopped
	if err := undo(ctx, phases, op); err != nil {
		var k *kept
		if errors.Is(cause, ErrInterrupted) && errors.As(err, &k) && k.serves {
			op.Warn("cancelled too late: users wrote %s on %s since %s, so it stays", k.written, run.To, k.since.Local().Format(time.TimeOnly))
			return nil
		}
		return &NotRolledBack{Cause: cause, Undo: err}
	}
	if stopped {
		return &RolledBack{Cause: cause}
	}
	return cause
}

// undo puts phases back, the last first, and says what kept the service down, or is to be tried again.
func undo(ctx context.Context, phases []Phase, op *Operation) error {
	ctx, cancel := op.within(context.WithoutCancel(ctx), undoLimit(op), "the rollback")
	defer cancel()
	defer op.due.Store(nil)
	last := len(phases) - 1
	if i := indexOf(phases, op.Record.Run.UndoneTo); i >= 0 && leadsToOld(op.Record.Run) {
		last = i
	}
	for i := last; i >= 0; i-- {
		p, ok := phases[i].(Undoer)
		if !ok {
			continue
		}
		op.current = p
		began := time.Now()
		op.Emit(Event{Kind: Undoing})
		err := do(ctx, p.Undo, op)
		if err == nil {
			op.Emit(Event{Kind: Undone, Took: time.Since(began)})
			continue
		}
		err = fmt.Errorf("put back %q: %w", p.Title(), err)
		if op.Record.Run.Stopped || errors.Is(err, ErrAgain) {
			op.Emit(Event{Kind: Failed, Text: err.Error(), Took: time.Since(began)})
			return err
		}
		op.Warn("%v", err)
	}
	return nil
}

// do calls one step; a panic in it is a failure like any other, so that what began is put back.
func do(ctx context.Context, step func(context.Context, *Operation) error, op *Operation) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return step(ctx, op)
}

// finish closes the run in the record, unless it must be put back later, and frees the lock.
func finish(op *Operation, r Report) (err error) {
	if run := op.Record.Run; run != nil && run.ID == op.ID && op.release != nil { // else it is another process's
		op.Record.History = append(op.Record.History, r.Finished)
		if r.Outcome != OutcomeNotRolledBack || run.Committed {
			op.Record.Run = nil
		}
		err = op.Save()
	}
	if op.release != nil {
		err = errors.Join(err, op.release())
		op.release = nil
	}
	return err
}

// Stillborn is the report of a run that failed before it could begin.
func Stillborn(id, name string, err error) Report {
	now := time.Now().UTC()
	r := Report{Exit: Code(err), Hint: Hint(err)}
	r.Finished = state.Finished{ID: id, Operation: name, Started: now, Ended: now, Outcome: outcome(err), Error: err.Error()}
	return r
}
