package phase

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Checkpoint keeps what the new version's first start may change: the configuration always, the
// database when it has migrations to run.
type Checkpoint struct{}

// Title says what a person reads.
func (Checkpoint) Title() string { return "keep a checkpoint" }

// Describe says it for a plan.
func (Checkpoint) Describe(op *Operation) string {
	return "copy the configuration, and the database if the new version changes it"
}

// Limit says how long it may take.
func (Checkpoint) Limit(op *Operation) time.Duration { return patience(op) }

// Run is quick: the copy of a database is a copy of its files, about a second a gigabyte.
func (Checkpoint) Run(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	if f.Config.Exists && !f.Config.InDatabase {
		run.ConfigCopy = filepath.Join(state.Dir, "config", run.ID+".json")
		if err := mattermost.CopyConfig(f.Config.Path, run.ConfigCopy); err != nil {
			return err
		}
	}
	var err error
	if run.SchemaBefore, err = f.Database.AppliedMigrations(ctx); err != nil {
		return err
	}
	if !run.Migrates {
		return op.Save()
	}
	admin, err := findAdmin(ctx, f.Database)
	if errors.Is(err, mattermost.ErrNoAdmin) {
		return dumpInstead(ctx, op)
	}
	if err != nil {
		return err
	}
	run.Checkpoint = mattermost.CheckpointName(f.Database.Name, run.Started)
	if err := op.Save(); err != nil {
		return err
	}
	if err := admin.Checkpoint(ctx, run.Checkpoint); err != nil {
		return err
	}
	run.CheckpointComplete = true
	return op.Save()
}

// dumpInstead is for a database of which nobody here may make a copy: a second dump, which has what
// was written since the first.
func dumpInstead(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	if f.Schema.Empty() {
		return op.Save()
	}
	op.Warn("no role here may copy the database: it is dumped instead, and the service is away the longer")
	tools, err := mattermost.FindTools(ctx, host.Run, f.Schema.Server)
	if err != nil {
		return err
	}
	path := filepath.Join(dumpDir(), run.ID+"-stopped.dump")
	if _, err := f.Database.Dump(ctx, tools, path, func(n int64) { op.Progress(n, 0, "bytes") }); err != nil {
		return err
	}
	run.StoppedDump = path
	return op.Save()
}

// Undo puts the configuration back; the database is put back by Start's undo, before the link.
func (Checkpoint) Undo(_ context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped || run.ConfigCopy == "" {
		return nil
	}
	if !exposed(run).IsZero() {
		newer := filepath.Join(state.Dir, "config", run.ID+"-newer.json")
		if err := mattermost.CopyConfig(run.ConfigPath, newer); err != nil {
			op.Warn("settings that were changed since %s may be lost: %v", exposed(run).Local().Format(time.TimeOnly), err)
		} else {
			op.Note("settings that were changed since %s are kept in %s", exposed(run).Local().Format(time.TimeOnly), newer)
		}
	}
	// A copy that was never finished was never needed: the new version has not been started.
	if err := mattermost.PutBackConfig(run.ConfigCopy, run.ConfigPath); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
