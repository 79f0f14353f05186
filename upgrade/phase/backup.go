package phase

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Backup dumps the database while the service runs, and proves that the dump can be read back. It
// is for a person's worst day; an upgrade that fails goes back by the checkpoint, which has what
// was written after the dump as well.
type Backup struct{}

// Title says what a person reads.
func (Backup) Title() string { return "back up the database" }

// Describe says it for a plan.
func (Backup) Describe(op *Operation) string {
	if op.Facts.Schema.Empty() {
		return "nothing to back up: the database is empty"
	}
	text := fmt.Sprintf("dump %s (%d MB) to %s and verify every row", op.Facts.Database.Name, op.Facts.Schema.Bytes>>20, dumpDir())
	if to := op.Config.Backup.Repository; to != "" {
		text += "; then database, files and configuration to " + to
	}
	return text
}

func dumpDir() string { return filepath.Join(state.Dir, "dumps") }

// Run leaves a verified dump in Run.Dump, and the configuration beside it.
func (Backup) Run(ctx context.Context, op *Operation) error {
	if err := dumpHere(ctx, op); err != nil {
		return err
	}
	return offHost(ctx, op)
}

func dumpHere(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	if err := pruneFiles(dumpDir(), keptRuns(op)...); err != nil { // those of runs that failed, too
		return err
	}
	if f.Config.Exists && !f.Config.InDatabase {
		if err := mattermost.CopyConfig(f.Unit.User, f.Config.Path, filepath.Join(dumpDir(), run.ID+".config.json")); err != nil {
			return err
		}
	}
	if f.Schema.Empty() {
		op.Note("nothing to back up: the database is empty")
		return nil
	}
	path := filepath.Join(dumpDir(), run.ID+".dump")
	run.Dump = path
	if err := op.Save(); err != nil {
		return err
	}
	rows, err := dump(ctx, op, path)
	if err != nil {
		return err
	}
	op.Note("%s: %d rows, every one verified", path, rows)
	return nil
}

// offHost makes a backup in the repository, too, where there is one: the dump beside the database is
// what a person can restore at once and without a network, and the backup is what is left when the
// host is lost. Users are served meanwhile. Without it there is no upgrade.
func offHost(ctx context.Context, op *Operation) error {
	if op.Facts.Schema.Empty() {
		return nil
	}
	repo, err := openBackups(ctx, op)
	if errors.Is(err, backup.ErrNone) || !op.Facts.Installed() {
		return nil
	}
	if err != nil {
		return err
	}
	return snapshot(ctx, op, repo)
}
