package phase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// errWrong is a server that answers, and is not what it should be.
var errWrong = errors.New("the server is not the version that was installed")

// verifyTimeout is how long the new version may be ready and yet not answer well.
const verifyTimeout = 20 * time.Second

// Verify asks the new version how it is while nobody else can reach it.
type Verify struct{}

// Title says what a person reads.
func (Verify) Title() string { return "verify behind the gate" }

// Describe says it for a plan.
func (Verify) Describe(op *Operation) string {
	return fmt.Sprintf("it must answer at %s as %s, with its database and files in order", op.Facts.Health.URL, op.Choice.Next.Version)
}

// Limit is beyond the patience with the new version, as that of Start.
func (Verify) Limit(op *Operation) time.Duration {
	return max(verifyTimeout, patience(op)) + time.Minute
}

// Run ends at the first good answer: every moment of it is downtime. Whether it stays good is for
// Watch to see.
func (Verify) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	limit := verifyTimeout
	if run.Migrates && op.Facts.Unit.Type != "notify" {
		limit = patience(op) // ready means nothing of such a unit: it may be migrating still
	}
	if err := awaitHealth(ctx, run, op.started, run.To, limit); err != nil {
		return blame(ctx, op, err)
	}
	if !run.WasActive && run.From != "" { // what did not run could not be asked before
		if _, err := ownDatabase(ctx, op, run); err != nil {
			return err
		}
	}
	schema, err := op.Facts.Database.AppliedMigrations(ctx)
	if err != nil {
		return err
	}
	if before := foundBefore(op); !run.Migrates && schema != before { // nothing was kept to go back to, so it must be lived with
		op.Warn("%s has changed the database, from %s to %s, though it had no migrations to run", run.To, before, schema)
	}
	if last := mattermost.LastMigration(schema); last < run.SchemaTarget {
		return blame(ctx, op, fmt.Errorf("%w: it left the database at migration %d, and its plan goes to %d", errWrong, last, run.SchemaTarget))
	}
	return nil
}

// foundBefore are the migrations of the database on which the version was started: what served before
// has another one, where a copy or a backup took its place.
func foundBefore(op *Operation) string {
	switch {
	case op.restore != nil:
		return op.restore.Manifest.Schema
	case op.Record.Run.Way != "":
		return op.Record.Return.Schema
	}
	return op.Record.Run.SchemaBefore
}

// awaitHealth polls until the server answers well as version want, and fails at once when it is
// another version or its process is gone.
func awaitHealth(ctx context.Context, run *state.Run, pid int, want string, limit time.Duration) error {
	return awaitAnswer(ctx, service(run), health(run), pid, want, limit)
}

// awaitAnswer is awaitHealth of any server.
func awaitAnswer(ctx context.Context, s mattermost.Service, h mattermost.Health, pid int, want string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := h.Ping(ctx)
		if (err == nil || answer.Build != "") && answer.Build != want {
			return fmt.Errorf("%w: it answers as %s, not %s", errWrong, answer.Build, want)
		}
		if err == nil {
			return nil
		}
		st, serr := s.Status(ctx)
		switch {
		case serr != nil:
			return serr
		case st.Crashed(0) || (pid != 0 && st.PID != pid):
			return fmt.Errorf("%w with status %d (%s) after it was ready", mattermost.ErrExited, st.Code, st.Result)
		case time.Now().After(deadline) && errors.Is(err, mattermost.ErrDependency):
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("%w: %w", mattermost.ErrNotReady, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
