package phase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Recover puts back the run that the record shows as unfinished; without one it does nothing. It
// takes and frees the lock, so a run that is alive gives a *host.LockedError. The phases are op's own: a
// run of another operation is undone by that one's, or refused when it is not known.
func Recover(ctx context.Context, phases []Phase, op *Operation) error {
	_, err := recoverRun(ctx, phases, op)
	return err
}

// Repair is Recover as a run of its own, or as the end of the run that died: it ends with a
// result. The report is that of the run put back: *RolledBack, as that run failed, or
// *NotRolledBack. With nothing to put back, the run that died had changed nothing, or had come to its
// end, which is in the history. An ErrAgain is no result, as it is to be tried again, nor
// is a lock that keeps the host itself waiting.
func Repair(ctx context.Context, phases []Phase, op *Operation) (Report, error) {
	l := newLog(op)
	began := time.Now().UTC()
	done, err := recoverRun(ctx, phases, op)
	if errors.Is(err, ErrAgain) || op.Automatic && errors.As(err, new(*host.LockedError)) {
		op.Warn("%v", err)
		return Report{}, err
	}
	r := Report{Finished: done}
	if over := finished(op); err == nil && done.ID == "" && over != nil {
		r.Finished, r.Exit, r.Warnings = *over, exitOf(over.Outcome), l.warnings
		op.current = nil
		op.Emit(Event{Kind: Result, Text: r.Error, Data: r})
		return r, nil
	}
	switch {
	case err == nil && done.ID == "":
		err = ErrSilent
		r.Finished = state.Finished{ID: op.ID, Operation: op.Name}
	case err == nil && done.Outcome == OutcomeRolledBack:
		err = &RolledBack{Cause: errors.New(done.Error)}
	}
	if r.Started.IsZero() {
		r.Started = began
	}
	r.Ended, r.Outcome, r.Exit = time.Now().UTC(), outcome(err), Code(err)
	r.Warnings = l.warnings
	if err != nil {
		r.Error, r.Hint = op.conceal(err.Error()), Hint(err)
	}
	op.current = nil
	op.Emit(Event{Kind: Result, Text: r.Error, Data: r})
	return r, err
}

// finished is what the history says of the run; nil when it never came to its end.
func finished(op *Operation) *state.Finished {
	for i := len(op.Record.History) - 1; i >= 0; i-- {
		if op.Record.History[i].ID == op.ID {
			return &op.Record.History[i]
		}
	}
	return nil
}

func recoverRun(ctx context.Context, phases []Phase, op *Operation) (done state.Finished, err error) {
	if op.Record.Run == nil {
		return done, nil
	}
	if left := op.Record.Run; op.Boot && unverified(left) {
		defer func() { err = errors.Join(err, resume(ctx, left, err)) }()
	}
	free, err := op.Lock(ctx, "put back "+op.Record.Run.ID, func(error) {})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, free()) }()
	if op.Reload != nil {
		if op.Record, err = op.Reload(); err != nil {
			return done, err
		}
	}
	left := op.Record.Run
	if left == nil {
		return done, nil
	}
	if host.Alive(left.PID, left.BootID, left.Ticks) { // its lock was taken away, and it is putting things back
		return done, &host.LockedError{Holder: host.Holder{Who: "another run", Why: left.Operation + " to " + left.To,
			Run: left.ID, Since: left.Started, Beat: time.Now()}}
	}
	if err := knowUser(ctx, left); err != nil {
		return done, err
	}
	if left.Operation != op.Name {
		other, err := Find(op.Operations, left.Operation)
		if err != nil {
			return done, fmt.Errorf("run %s was left unfinished: %w", left.ID, err)
		}
		phases = other.All
	}
	done = state.Finished{ID: left.ID, Operation: left.Operation, From: left.From, To: left.To, Started: left.Started}
	noteSystem(&done, left)
	if left.Committed {
		for _, p := range phases {
			if f, ok := p.(Finisher); ok {
				if err := f.Finish(ctx, op); err != nil {
					op.Warn("tidy up: %v", err)
				}
			}
		}
		done.Outcome, done.Ended = OutcomeDone, time.Now().UTC()
		return done, closeRun(op, done)
	}
	cause := causeOf(op, phases)
	if !op.Boot && indexOf(phases, Stop{}.ID()) >= 0 && servesWell(ctx, left) {
		op.Warn("%v; %s serves well on its own database, and stays as it is", cause, left.From)
		left.UndoneTo, op.mended = Stop{}.ID(), true
	} else {
		op.Warn("%v; rolling back", cause)
	}
	if op.Boot {
		if err := HoldBack(ctx, left); err != nil {
			op.Warn("%v", err) // a service that waits for this recovery is not started before it is done
		}
	}
	if err := op.try(ctx); err != nil {
		return done, &NotRolledBack{Cause: cause, Undo: err}
	}
	err = undo(ctx, phases, op)
	mended := op.mended
	op.mended = false // what follows is another run
	if err != nil {
		failed := &NotRolledBack{Cause: cause, Undo: op.tried(ctx, err)}
		if left.Committed { // the newer version stays, and nothing is left to undo
			done.Outcome, done.Error, done.Ended = OutcomeNotRolledBack, op.conceal(failed.Error()), time.Now().UTC()
			return done, errors.Join(failed, closeRun(op, done))
		}
		return done, failed
	}
	done.Outcome, done.Error, done.Ended = OutcomeRolledBack, op.conceal(cause.Error()), time.Now().UTC()
	if !left.StoppedAt.IsZero() && !mended {
		done.Downtime = time.Since(left.StoppedAt)
	}
	if err := closeRun(op, done); err != nil || !op.Boot {
		return done, err
	}
	if op.Ready != nil {
		op.Ready() // the service has waited for this
	}
	if err := servesAgain(ctx, op, left); err != nil {
		return done, &NotRolledBack{Cause: cause, Undo: err}
	}
	return done, nil
}

// resume resumes traffic where a recovery at a boot gives up because of err: systemd starts the service
// behind it, and nothing else would. Traffic stays held for another attempt or another run, and where
// Mattermost stays stopped.
func resume(ctx context.Context, left *state.Run, err error) error {
	if err == nil || errors.Is(err, ErrAgain) || errors.As(err, new(*host.LockedError)) || errors.As(err, new(*exhausted)) {
		return nil
	}
	return gate(left).Open(ctx)
}

// knowUser finds the service's user for a run that an earlier version of this program began: root touches
// that user's files with the user's rights only.
func knowUser(ctx context.Context, run *state.Run) error {
	if run.User != "" || run.ConfigPath == "" {
		return nil
	}
	unit, err := mattermost.FindUnit(ctx, host.Run, run.Unit, run.Link)
	if errors.Is(err, mattermost.ErrNoUnit) {
		return nil
	}
	if err == nil {
		run.User = unit.User
	}
	return err
}

// causeOf is why the run in the record is to be undone.
func causeOf(op *Operation, phases []Phase) error {
	left := op.Record.Run
	for _, f := range slices.Backward(op.Record.History) {
		if f.ID == left.ID && f.Error != "" {
			return fmt.Errorf("the run %s failed and was not undone: %s", left.ID, f.Error)
		}
	}
	where := left.Step
	if i := indexOf(phases, left.Step); i >= 0 {
		where = phases[i].Title()
	}
	return fmt.Errorf("the run %s ended without a word, in or after %q", left.ID, where)
}

// servesWell reports whether the version before run serves on its own database, as it does where an
// operator has repaired by hand what could not be undone.
func servesWell(ctx context.Context, run *state.Run) bool {
	if !run.Stopped || run.From == "" || run.SchemaBefore == "" || run.Changed || !leadsToOld(run) {
		return false
	}
	st, err := service(run).Status(ctx)
	if err != nil || st.PID == 0 || awaitHealth(ctx, run, st.PID, run.From, 0) != nil {
		return false
	}
	configured := *run
	configured.ConfigCopy = "" // as it is configured now
	_, db, err := reopen(ctx, &configured)
	if err != nil {
		return false
	}
	now, err := db.AppliedMigrations(ctx)
	return err == nil && now == run.SchemaBefore
}

// closeRun takes the run out of the record and into its history.
func closeRun(op *Operation, done state.Finished) error {
	op.Record.Run, op.Record.History = nil, append(op.Record.History, done)
	return op.Save()
}
