package phase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
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
		return "during the downtime, as configured"
	}
	if known := foresee(op); known != "" {
		return known
	}
	return "while the old version serves, if nothing in the migrations can harm it; otherwise during the downtime. " +
		"Which of the two is known once the release is unpacked: upgrade rehearse …"
}

// foresee asks a release that is unpacked already; empty when it is not, or says nothing.
func foresee(op *Operation) string {
	f := op.Facts
	dir := mattermost.VersionDir(f.Link, op.Choice.Next.Dir())
	if !f.Installed() || !release.IsComplete(dir) {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), planTimeout)
	defer cancel()
	scratch, err := os.MkdirTemp("", "townsquare-foresee-")
	if err != nil {
		return ""
	}
	defer os.RemoveAll(scratch)
	plan, err := f.Program(dir).PlanMigrations(ctx, filepath.Join(scratch, "plan.json"))
	switch {
	case err != nil:
		return ""
	case !plan.Known:
		return fmt.Sprintf("during the downtime, as %s cannot say what it would change", op.Choice.Next.Version)
	case plan.Count == 0:
		return "no migrations to run"
	}
	found, err := hazards(ctx, op, plan.File)
	if err != nil {
		return ""
	}
	if len(found) > 0 {
		return fmt.Sprintf("migrations to run: %d, during the downtime, because of %s%s", plan.Count, found[0], more(len(found)-1))
	}
	return fmt.Sprintf("migrations to run: %d, while the old version serves: nothing in them can harm it", plan.Count)
}

// hazards are what keeps a plan from being carried out while the old version serves.
func hazards(ctx context.Context, op *Operation, plan string) ([]mattermost.Hazard, error) {
	bytes, err := op.Facts.Database.TableBytes(ctx)
	if err != nil {
		return nil, err
	}
	return mattermost.Hazards(plan, bytes)
}

// Run leaves Run.Migrates false when there is nothing left to migrate.
func (Migrate) Run(ctx context.Context, op *Operation) error {
	if err := besideUsers(ctx, op); err != nil || !op.Record.Run.Migrates || op.Facts.Schema.Empty() {
		return err
	}
	if err := indexBefore(ctx, op); err != nil {
		return err
	}
	return announceCopy(ctx, op)
}

// announceCopy says, while users can still be told, how long the copy of the database will keep them
// waiting, and does the part of it that needs no quiet: the database's files are read, if half of the
// free memory holds them, and what it has in memory only is written to them.
func announceCopy(ctx context.Context, op *Operation) error {
	f := op.Facts
	if op.dumps != "" {
		cost, how := stopCost(op.Record, f.Schema.Heap)
		op.Note("the database is dumped during the downtime, as %s, which takes about %s (%s)", op.dumps, printable.Duration(cost), how)
		return nil
	}
	cost, how := copyCost(op.Record, f.Schema.Bytes)
	op.Note("the database is copied during the downtime, which takes about %s (%s)", printable.Duration(cost), how)
	admin, err := findAdmin(ctx, f.Database)
	if err != nil {
		return nil //nolint:nilerr // the checkpoint looks for one again, and knows what else to do
	}
	free, err := availableMemory("/proc/meminfo")
	if err == nil {
		err = admin.Prefetch(ctx, free/2)
	}
	if err != nil { // it only takes longer
		op.Warn("read the database before it is copied: %v", err)
	}
	return admin.Flush(ctx)
}

// besideUsers migrates while the old version serves, if it can live with that.
func besideUsers(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	if !run.Migrates || run.Plan == "" || !f.Installed() {
		return nil
	}
	if op.Config.Migrations == state.MigrateOffline {
		op.Note("the database is migrated during the downtime, as configured")
		return nil
	}
	found, err := hazards(ctx, op, run.Plan)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		op.Note("the database is migrated during the downtime, because of %s%s", found[0], more(len(found)-1))
		return nil
	}
	if err := beginOnline(ctx, op); err != nil {
		return err
	}
	if err := migrateOnline(ctx, op); err != nil {
		return errors.Join(err, f.Database.EndMigrator(context.WithoutCancel(ctx), run.Unfinished))
	}
	return op.Save()
}

// beginOnline notes that the database is changed while the old version serves, before it is.
func beginOnline(ctx context.Context, op *Operation) error {
	left, err := unfinished(ctx, op)
	if err != nil {
		return err
	}
	op.Record.Run.Online = true
	if err := op.Save(); err != nil {
		return err
	}
	if left {
		return op.Facts.Database.EndMigrator(ctx, op.Record.Run.Unfinished)
	}
	return nil
}

// indexWait is how long an index waits for those at work on its table: nobody waits behind it.
const indexWait = 10 * time.Second

// indexBefore makes indexes of migrations that wait for the stop, so that users need not wait for
// these. Where it does not work the new version makes them, as it would have.
func indexBefore(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	if run.Plan == "" || !f.Installed() {
		return nil
	}
	indexes, err := indexesBefore(ctx, f.Database, run.Plan)
	if err != nil || len(indexes) == 0 {
		return err
	}
	if err := beginOnline(ctx, op); err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, patience(op), fmt.Errorf("the indexes took more than %s", printable.Duration(patience(op))))
	defer cancel()
	made, err := f.Database.MakeIndexes(limited, indexes, indexWait)
	if len(made) > 0 {
		op.Note("made before the stop, while the old version serves: %s", strings.Join(made, ", "))
	}
	if err == nil {
		return nil
	}
	if err := f.Database.EndMigrator(context.WithoutCancel(ctx), run.Unfinished); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	op.Warn("an index could not be made while the old version serves, so the downtime will be longer: %v", err)
	return nil
}

// indexesBefore are those of a plan that can be made before the stop, by what db has.
func indexesBefore(ctx context.Context, db *mattermost.Database, plan string) ([]mattermost.Index, error) {
	bytes, err := db.TableBytes(ctx)
	if err != nil {
		return nil, err
	}
	return mattermost.IndexesAhead(plan, bytes)
}

// unfinished notes the indexes that somebody has left invalid. One that the plan makes is not among
// them: an earlier run of ours began it and could not remove it, and the migration would take it for
// done. left says that there are such.
func unfinished(ctx context.Context, op *Operation) (left bool, err error) {
	run := op.Record.Run
	invalid, err := op.Facts.Database.InvalidIndexes(ctx)
	if err != nil {
		return false, err
	}
	planned, err := mattermost.NewIndexes(run.Plan)
	if err != nil {
		return false, err
	}
	run.Unfinished = slices.DeleteFunc(slices.Clone(invalid), func(index string) bool {
		return slices.Contains(planned, strings.Trim(index, `"`))
	})
	return len(run.Unfinished) < len(invalid), nil
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
	limited, cancel := context.WithTimeoutCause(ctx, patience(op), fmt.Errorf("the migrations took more than %s", printable.Duration(patience(op))))
	defer cancel()
	program := f.Program(run.NewTarget)
	var err error
	for try := 1; try <= lockTries; try++ {
		if err = program.Migrate(limited, f.Database, lockWait); !errors.Is(err, mattermost.ErrQueued) {
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
	op.Warn("the database could not be migrated while the old version serves, so the downtime will be longer: %v", err)
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
// harmless to the old version, and the next run need not do it again. A database that is not there
// yet, as at a boot, is waited for: an index that is left half made would be taken for a whole one.
func (Migrate) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Online {
		return nil
	}
	_, db, err := reach(ctx, run)
	if err == nil {
		if err = db.EndMigrator(ctx, run.Unfinished); err != nil && !reachable(ctx, run) {
			err = errors.Join(ErrUnreachable, err)
		}
	}
	if errors.Is(err, ErrAgain) {
		run.Again = true
		err = errors.Join(err, op.Save())
	}
	return err
}
