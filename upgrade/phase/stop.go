package phase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// stopTimeout bounds a stop, and the waiting for a young server before it; systemd kills the service
// by itself well before.
const stopTimeout = 2*time.Minute + 30*time.Second

// Stop shuts the gate and stops the service: the downtime begins. Its undo is the last of those
// that matter: the old version serves again.
type Stop struct{}

// Title says what a person reads.
func (Stop) Title() string { return "stop the service" }

// Describe says it for a plan.
func (Stop) Describe(op *Operation) string {
	return op.Facts.Unit.Name + "; until traffic resumes, " + op.visitors()
}

// Limit says how long it may take.
func (Stop) Limit(*Operation) time.Duration { return stopTimeout }

// Run waits until a young server can stop quickly, as it serves meanwhile.
func (Stop) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	s := service(run)
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if err := mattermost.Warm(run.NewTarget); err != nil {
		return err
	}
	if err := s.WaitSettled(ctx); err != nil {
		return err
	}
	// Not before all else of root's is done in there, and not while the service is away. A version that
	// is gone back to has its own since it was first started.
	if run.Way == "" {
		if err := mattermost.GiveClient(run.NewTarget, run.User); err != nil {
			return err
		}
	}
	noteBefore(ctx, op)
	if err := keepPlugins(op); err != nil {
		return err
	}
	if err := s.Forgive(ctx); err != nil {
		return err
	}
	run.WasActive, run.WasOff = !st.Off(), st.Active == "inactive"
	run.Stopped, run.StoppedAt = true, time.Now().UTC()
	if err := op.Save(); err != nil {
		run.Stopped = false
		return err
	}
	op.Down()
	if err := closeAndStop(ctx, run); err != nil {
		return err
	}
	// From here on nobody can have written; until here somebody could. The next step saves it.
	run.StoppedAt = time.Now().UTC()
	return nil
}

// closeAndStop shuts the gate while the service stops: it must be shut when the new version listens,
// and users wait meanwhile.
func closeAndStop(ctx context.Context, run *state.Run) error {
	closed := make(chan error, 1)
	go func() { closed <- gate(run).Close(ctx) }()
	err := service(run).Stop(ctx)
	return errors.Join(<-closed, err)
}

// oldTimeout bounds the old version's return. Should it not come up at once, as its database is just
// starting or a disk is full, it is started again every oldPause, as long as oldTries.
const (
	oldTimeout = 3 * time.Minute
	oldTries   = time.Minute
	oldPause   = 2 * time.Second
	oldFiles   = 5 * time.Second // it may lack its file store for so long; then it serves without
)

// Undo starts what was there before and opens the gate once it answers.
func (Stop) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped {
		return forgetPlugins(run)
	}
	if run.WasActive && run.From != "" {
		if err := serveAgain(ctx, op); err != nil {
			return letIn(ctx, op, err)
		}
	}
	if err := gate(run).Open(ctx); err != nil {
		return err
	}
	op.Up()
	run.Stopped = false
	if err := op.Save(); err != nil {
		return err
	}
	if !op.Boot { // else the service waits for us
		pluginsAgain(ctx, op, run, time.Now())
	}
	return errors.Join(forgetPlugins(run), dropFailed(ctx, op))
}

// letIn opens the gate though the old version is not well: better a server that may be ill than a
// closed door, and systemd starts it as soon as it can be. From then on users may write to it, and an
// operator may repair it: only its start is left to undo. Where it only misses its database, the host
// looks again unattended.
func letIn(ctx context.Context, op *Operation, why error) error {
	run := op.Record.Run
	if run.OpenedAt.IsZero() {
		run.OpenedAt = time.Now().UTC()
	}
	if op.current != nil {
		run.UndoneTo = op.current.ID()
	}
	if run.Again = !reachable(ctx, run); run.Again {
		why = errors.Join(ErrUnreachable, why)
	}
	return errors.Join(why, op.Save(), gate(run).Open(ctx))
}

// serveAgain starts the old version and sees to it that it is itself; at a boot the service waits
// for us, so that Repair looks at it later.
func serveAgain(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if err := service(run).Start(ctx); err != nil || op.Boot {
		return err
	}
	return servesAgain(ctx, op, run)
}

// servesAgain verifies the old version of run as the new one would have been: ready, itself, and on
// its own database.
func servesAgain(ctx context.Context, op *Operation, run *state.Run) error {
	if !run.WasActive || run.From == "" || run.StoppedAt.IsZero() {
		return nil
	}
	limit := oldTimeout
	if run.Way != "" { // the newer version may have to migrate the database again
		limit = max(limit, state.DefaultPatience)
	}
	if err := comesUp(ctx, op, run, limit); err != nil {
		return fmt.Errorf("start %s again: %w", run.From, err)
	}
	db, err := ownDatabase(ctx, op, run)
	if err != nil {
		return fmt.Errorf("%s serves again: %w", run.From, err)
	}
	if now, err := db.AppliedMigrations(ctx); err != nil || run.SchemaBefore != "" && now != run.SchemaBefore {
		return errors.Join(err, fmt.Errorf("%s serves again on a database at %s; it was at %s", run.From, now, run.SchemaBefore))
	}
	if op.Boot { // else users still wait
		pluginsAgain(ctx, op, run, time.Now())
	}
	return nil
}

// comesUp waits until the old version answers as itself. It may lack its file store, as on a full
// disk: it did not get that from us, and a closed door would help nobody.
func comesUp(ctx context.Context, op *Operation, run *state.Run, limit time.Duration) error {
	s, began := service(run), time.Now()
	for {
		st, err := s.WaitReady(ctx, mattermost.Patience{Limit: limit - time.Since(began), Since: began})
		if err == nil {
			err = awaitHealth(ctx, run, st.PID, run.From, oldFiles)
		}
		if errors.Is(err, mattermost.ErrFiles) {
			op.Warn("%s serves again, and %v", run.From, err)
			return nil
		}
		if errors.Is(err, mattermost.ErrDependency) || errors.Is(err, mattermost.ErrNotReady) {
			err = awaitHealth(ctx, run, st.PID, run.From, limit-time.Since(began))
		}
		again := errors.Is(err, mattermost.ErrExited) || errors.Is(err, mattermost.ErrNotStarted)
		if !again || time.Since(began) > oldTries {
			return err
		}
		select {
		case <-time.After(oldPause):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
		if e := s.Start(ctx); e != nil {
			return errors.Join(err, e)
		}
	}
}

// dropFailed removes the copies of the database that nobody needs any more. Where users may have
// written since the stop, the database that was replaced stays until the next upgrade that works.
func dropFailed(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if run.Checkpoint == "" || run.Way == WayCheckpoint || op.mended { // there it is what served before, under another name
		return nil
	}
	_, db, err := reopen(ctx, run)
	if err != nil {
		return err
	}
	admin, err := findAdmin(ctx, db)
	if err != nil {
		return err
	}
	if exposed(run).IsZero() {
		if err := admin.Drop(ctx, mattermost.FailedName(db.Name, run.Started)); err != nil {
			return err
		}
	}
	if keepsNewer(ctx, op, db, admin) {
		return nil
	}
	return admin.Drop(ctx, run.Checkpoint) // when it was not needed
}

// keepsNewer says whether the copy that a rollback made has what is nowhere else: the newer version
// migrated the database again, so that what only it knows is no more in that.
func keepsNewer(ctx context.Context, op *Operation, db *mattermost.Database, admin *mattermost.Admin) bool {
	run, back := op.Record.Run, op.Record.Return
	if run.Way != WayDowngrade || !run.Changed || back == nil {
		return false
	}
	there, err := admin.Exists(ctx, run.Checkpoint)
	if err == nil && !there { // it is the database again
		return false
	}
	var tables []string
	if err == nil {
		tables, err = mattermost.NewTables(back.Plan)
	}
	var drops map[string]int
	if err == nil {
		drops, err = db.On(run.Checkpoint).CountRows(ctx, tables)
	}
	switch {
	case err != nil:
		op.Warn("the database as it was at the stop is kept as %s, as nobody can say what in it is nowhere else: %v", run.Checkpoint, err)
	case len(drops) > 0:
		op.Warn("gone with the migrations, as only %s knows it: %s; the database with it is kept as %s", run.From, list(drops), run.Checkpoint)
	}
	return err != nil || len(drops) > 0
}
