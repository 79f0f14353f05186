package phase

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Users wait behind a migration that waits for a lock, so it gives up after lockWait, and tries
// again a little later, lockTries times in all.
const (
	lockWait  = 500 * time.Millisecond
	lockTries = 10
)

// Migrate runs the new version's migrations while the old version serves, where the old version can
// live with what they change: then no database time is left in the downtime. Otherwise they run
// when the new version starts, behind a checkpoint. It comes last before the stop, as the time on
// the new schema is to be short.
type Migrate struct{}

// Title says what a person reads.
func (Migrate) Title() string { return "migrate the database" }

// Describe says it for a plan.
func (Migrate) Describe(op *Operation) string {
	if op.Config.Migrations == state.MigrateOffline {
		return "while the service is away, as configured"
	}
	return "while the old version serves, if nothing in the migrations can harm it; otherwise while the service is away"
}

// Run leaves Run.Migrates false when there is nothing left to migrate.
func (Migrate) Run(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	if !run.Migrates || run.Plan == "" || !f.Installed() {
		return nil
	}
	if op.Config.Migrations == state.MigrateOffline {
		op.Note("the database is migrated while the service is away, as configured")
		return nil
	}
	bytes, err := f.Database.TableBytes(ctx)
	if err != nil {
		return err
	}
	hazards, err := mattermost.Hazards(run.Plan, bytes)
	if err != nil {
		return err
	}
	if len(hazards) > 0 {
		op.Note("the database is migrated while the service is away, because of %s%s", hazards[0], more(len(hazards)-1))
		return nil
	}
	if run.Unfinished, err = f.Database.InvalidIndexes(ctx); err != nil {
		return err
	}
	run.Online = true
	if err := op.Save(); err != nil {
		return err
	}
	if err := migrateOnline(ctx, op); err != nil {
		return errors.Join(err, f.Database.EndMigrator(context.WithoutCancel(ctx), run.Unfinished))
	}
	return op.Save()
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}

// migrateOnline fails only when the run has to end: a migration that did not work is left to the
// new version's start, with what is left of the plan.
func migrateOnline(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	limited, cancel := context.WithTimeoutCause(ctx, patience(op), fmt.Errorf("the migrations took more than %s", patience(op)))
	defer cancel()
	program := f.Program(run.NewTarget)
	var err error
	for try := 1; try <= lockTries; try++ {
		if err = program.Migrate(limited, lockWait); !errors.Is(err, mattermost.ErrQueued) {
			break
		}
		if err := f.Database.EndMigrator(ctx, run.Unfinished); err != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		op.Note("the database is migrated; the old version serves on it")
		run.Migrates = false
		return nil
	}
	op.Warn("the database could not be migrated while the old version serves, so the service will be away for longer: %v", err)
	if err := f.Database.EndMigrator(ctx, run.Unfinished); err != nil {
		return err
	}
	// The way back must take back what is left to do, and only that.
	plan, err := program.PlanMigrations(ctx, filepath.Join(state.Dir, "plans", run.ID+".json"))
	if err != nil {
		return err
	}
	if plan.Known {
		run.Migrates, run.Plan = plan.Count > 0, plan.File
	}
	return nil
}

// Undo ends a migration that was left running. What it has changed may stay: it was found to be
// harmless to the old version, and the next run need not do it again.
func (Migrate) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Online {
		return nil
	}
	_, db, err := mattermost.Reopen(ctx, nil, run.Unit, run.Link, run.ConfigPath, run.ConfigCopy)
	if err != nil {
		return err
	}
	return db.EndMigrator(ctx, run.Unfinished)
}
