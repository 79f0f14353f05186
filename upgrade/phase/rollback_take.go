package phase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// SpareBack is Checkpoint: here it keeps what the newer version has, in case the older does not come.
type SpareBack struct{ Checkpoint }

// Title says what a person reads.
func (SpareBack) Title() string { return "keep what the newer version has" }

// Describe says it for a plan.
func (SpareBack) Describe(op *Operation) string {
	return "copy the configuration, and the database if it changes"
}

// TakeBack makes the database and the configuration fit the version before. Its undo is Start's:
// whichever of them began, settle puts back what the record says.
type TakeBack struct{ Start }

// Title says what a person reads.
func (TakeBack) Title() string { return "take the database back" }

// Describe says it for a plan.
func (TakeBack) Describe(op *Operation) string {
	if way := op.way(); way != nil {
		return way.What
	}
	return "by the way that is chosen"
}

// Run has the record say so before the database is changed.
func (TakeBack) Run(ctx context.Context, op *Operation) error {
	run, f, back := op.Record.Run, op.Facts, op.Record.Return
	if run.Kept != "" {
		// What serves now only gets another name, and is complete at every moment.
		run.Checkpoint, run.CheckpointComplete = mattermost.CheckpointName(f.Database.Name, run.Started), true
	}
	run.Changed = true
	if err := op.Save(); err != nil {
		run.Changed = false
		return err
	}
	if err := takeDatabaseBack(ctx, op); err != nil {
		return err
	}
	now, err := f.Database.AppliedMigrations(ctx)
	if err != nil {
		return err
	}
	if now != back.Schema {
		return fmt.Errorf("the database is at %s, and %s needs %s", now, back.From, back.Schema)
	}
	if run.ConfigPath == "" {
		return nil
	}
	merged, err := backConfig(back, run.User, run.ConfigPath)
	if err != nil {
		return err
	}
	file := filepath.Join(state.Dir, "config", run.ID+"-merged.json")
	if err := os.WriteFile(file, merged, 0o600); err != nil {
		return err
	}
	return mattermost.PutBackConfig(run.User, file, run.ConfigPath)
}

func takeDatabaseBack(ctx context.Context, op *Operation) error {
	run, f, back := op.Record.Run, op.Facts, op.Record.Return
	switch {
	case run.Way == WayDowngrade && !run.Migrates:
		return nil
	case run.Way == WayDowngrade:
		ctx, cancel := context.WithTimeoutCause(ctx, patience(op), fmt.Errorf("db downgrade took more than %s", printable.Duration(patience(op))))
		defer cancel()
		return f.Program(run.OldTarget).Downgrade(ctx, back.Plan)
	case run.Kept != "":
		admin, err := findAdmin(ctx, f.Database)
		if err != nil {
			return err
		}
		return admin.PutBack(ctx, run.Kept, run.Checkpoint)
	default:
		return restore(ctx, op, f.Database, back.Dump)
	}
}

// unroll makes the database fit the newer version again, and ends whatever runs. It may be called
// again after any interruption.
func unroll(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Changed {
		return nil
	}
	_, db, err := reach(ctx, run)
	if err != nil {
		return err
	}
	if err := service(run).Kill(ctx); err != nil {
		return err
	}
	if err := db.ClearOrphans(ctx); err != nil {
		op.Warn("what the version before left in the database may still be there: %v", err)
	}
	return unrollDatabase(ctx, op, db)
}

func unrollDatabase(ctx context.Context, op *Operation, db *mattermost.Database) error {
	run := op.Record.Run
	var written map[string]int
	if since := exposed(run); !since.IsZero() {
		var err error
		if written, err = db.Written(ctx, since); err != nil {
			return err
		}
	}
	switch {
	case run.Way == WayDowngrade && !run.Migrates:
		return nil
	case run.Way == WayDowngrade && (len(written) > 0 || !run.OpenedAt.IsZero()):
		op.Note("%s migrates the database again, with everything written since", run.From)
		return nil
	case len(written) > 0:
		since := exposed(run)
		return &kept{why: errors.New("they wrote it on the older database"), since: since, written: list(written), run: *run}
	case run.Kept != "":
		admin, err := findAdmin(ctx, db)
		if err != nil {
			return err
		}
		return admin.PutBack(ctx, run.Checkpoint, run.Kept)
	case run.Way == WayCheckpoint && run.StoppedDump != "": // the schema may be the same, and the content not
		return restore(ctx, op, db, run.StoppedDump)
	}
	if err := putBack(ctx, op, db); err != nil {
		return err
	}
	now, err := db.AppliedMigrations(ctx)
	if err == nil && now != run.SchemaBefore {
		err = fmt.Errorf("the database is at %s and %s needs %s: the dump from before is %s", now, run.From, run.SchemaBefore, run.Dump)
	}
	return err
}
