package phase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"townsquare/upgrade/internal/printable"
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
	text := "copy the configuration, and the database if the new version changes it"
	if op.dumps == "" && !op.Facts.Schema.Empty() {
		cost, how := copyCost(op.Record, op.Facts.Schema.Bytes)
		text += fmt.Sprintf(", which adds about %s of downtime (%s)", printable.Duration(cost), how)
	}
	if op.dumps != "" {
		cost, how := stopCost(op.Record, op.Facts.Schema.Heap)
		text += fmt.Sprintf("; as %s, by a dump, which adds about %s of downtime (%s)", op.dumps, printable.Duration(cost), how)
	}
	return text
}

// Limit says how long it may take; a dump may take three times as long as it is thought to.
func (Checkpoint) Limit(op *Operation) time.Duration {
	cost, _ := stopCost(op.Record, op.Facts.Schema.Heap)
	return max(patience(op), 3*cost)
}

// Run is quick: the copy of a database is a copy of its files, about a second a gigabyte. Whether
// there is room is asked again: much may have been written since the checks.
func (Checkpoint) Run(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	if f.Config.Exists && !f.Config.InDatabase {
		run.ConfigCopy = filepath.Join(state.Dir, "config", run.ID+".json")
		if err := mattermost.CopyConfig(run.User, f.Config.Path, run.ConfigCopy); err != nil {
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
	admin, why, err := noCopy(ctx, op)
	if err != nil {
		return err
	}
	if why != "" {
		return dumpInstead(ctx, op, why)
	}
	run.Checkpoint = mattermost.CheckpointName(f.Database.Name, run.Started)
	if err := op.Save(); err != nil {
		return err
	}
	began := time.Now()
	err = admin.Checkpoint(ctx, run.Checkpoint)
	if uncopyable(err) {
		return dumpInstead(ctx, op, err.Error())
	}
	if err != nil {
		return err
	}
	run.CheckpointComplete = true
	op.Record.Copied = state.Measured{Bytes: f.Schema.Bytes, Took: time.Since(began), At: time.Now().UTC()}
	return op.Save()
}

// Undo restores the plugins. The database is restored by Start's undo and the configuration by Swap's, both
// before the link, except that of a rollback by hand: TakeBack changes it before it switches the version.
func (Checkpoint) Undo(_ context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped {
		return nil
	}
	putPluginsBack(op)
	if run.Way == "" {
		return nil
	}
	return restoreConfig(op)
}

// restoreConfig restores the configuration as it was at the stop; it is idempotent. What users may have
// changed since is kept in another file.
func restoreConfig(op *Operation) error {
	run := op.Record.Run
	if run.ConfigCopy == "" {
		return nil
	}
	if !exposed(run).IsZero() {
		newer := filepath.Join(state.Dir, "config", run.ID+"-newer.json")
		if err := mattermost.CopyConfig(run.User, run.ConfigPath, newer); err != nil {
			op.Warn("settings that were changed since %s may be lost: %v", exposed(run).Local().Format(time.TimeOnly), err)
		} else {
			op.Note("settings that were changed since %s are kept in %s", exposed(run).Local().Format(time.TimeOnly), newer)
		}
	}
	// A copy that was never finished was never needed: the new version has not been started.
	if err := mattermost.PutBackConfig(run.User, run.ConfigCopy, run.ConfigPath); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
