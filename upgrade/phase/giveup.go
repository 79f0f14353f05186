package phase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// giveUp is for a way back that cannot go on. The version that the install path leads to is started
// again, as it may heal with what failed, and the gate opens: the service is not left dead for want of
// a way back. The run stays in the record, for the next one to put back.
//
// But users are let in only where that does not harm them (keepOut says where it would). Else the
// service stays shut, and the host tries the way back again by itself, until it is done.
func giveUp(ctx context.Context, op *Operation, why error) error {
	run := op.Record.Run
	shut := keepOut(ctx, op, why)
	if shut != nil && !errors.Is(why, shut) {
		why = errors.Join(shut, why)
	}
	run.Again = errors.Is(why, ErrAgain)
	if op.Boot { // systemd starts the service behind us; before systemd 254 also where it is tried again
		hold := gate(run).Open
		if run.Again {
			hold = gate(run).Close
		}
		return errors.Join(why, op.Save(), hold(ctx))
	}
	if shut != nil {
		return errors.Join(why, op.Save(), gate(run).Close(ctx), service(run).Kill(ctx))
	}
	if run.WasOff { // no user waits for it
		return errors.Join(why, op.Save(), service(run).Kill(ctx), gate(run).Open(ctx))
	}
	if run.OpenedAt.IsZero() {
		run.OpenedAt = time.Now().UTC()
	}
	err := errors.Join(why, op.Save(), service(run).Start(ctx), gate(run).Open(ctx))
	op.Up()
	return err
}

// errEmptied and errUnproven are an ErrAgain.
var (
	errEmptied  = fmt.Errorf("the database is empty, and nobody is let in; %w", ErrAgain)
	errUnproven = fmt.Errorf("nobody is let in; %w", ErrAgain)
)

// keepOut says why no user may reach the service though the way back failed because of why; nil when
// they may. On an empty database the first of them would become its administrator. And a version on
// which nobody has been must pass its verification first.
func keepOut(ctx context.Context, op *Operation, why error) error {
	run := op.Record.Run
	if !errors.Is(why, ErrUnreachable) && bare(ctx, run) {
		return errEmptied
	}
	switch {
	case !exposed(run).IsZero():
		return nil
	case errors.Is(why, ErrUnreachable):
		return ErrUnreachable
	}
	if err := prove(ctx, op); err != nil {
		return fmt.Errorf("%w: %w", errUnproven, err)
	}
	return nil
}

// bare looks whether the database is emptied.
func bare(ctx context.Context, run *state.Run) bool {
	_, db, err := reopen(ctx, run)
	if err != nil {
		return false
	}
	now, err := db.AppliedMigrations(ctx)
	return err == nil && emptied(run, now)
}

// prove starts the version that the install path leads to behind the gate, and asks of it what Verify
// does of a new one.
func prove(ctx context.Context, op *Operation) error {
	run, s := op.Record.Run, service(op.Record.Run)
	unit, db, err := reopen(ctx, run)
	if err != nil {
		return err
	}
	work := db.Watch()
	defer work.Close(context.WithoutCancel(ctx))
	if err := s.Start(ctx); err != nil {
		return err
	}
	limit := readyTimeout
	if run.Migrates {
		limit = patience(op)
	}
	st, err := s.WaitReady(ctx, mattermost.Patience{Limit: limit, Idle: idleTimeout, Busy: work.Busy})
	if err != nil {
		return err
	}
	if unit.Type == "notify" { // else it may be migrating still
		limit = verifyTimeout
	}
	want := run.To
	if leadsToOld(run) {
		want = run.From
	}
	if err := awaitHealth(ctx, run, st.PID, want, limit); err != nil {
		return err
	}
	now, err := db.AppliedMigrations(ctx)
	if err != nil {
		return err
	}
	if !belongs(op, want, now) {
		return fmt.Errorf("%w: %s serves on a database at %s", errWrong, want, now)
	}
	return nil
}

// belongs says whether a database at the migrations now is one for version, of the run's two.
func belongs(op *Operation, version, now string) bool {
	run, back := op.Record.Run, op.Record.Return
	switch {
	case version == run.From:
		return run.SchemaBefore == "" || now == run.SchemaBefore
	case run.Way != "":
		return back != nil && now == back.Schema
	default:
		return mattermost.LastMigration(now) >= run.SchemaTarget
	}
}
