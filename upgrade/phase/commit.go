package phase

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// Commit makes it final, and removes what no way back needs any more: the version before stays,
// with its checkpoint.
type Commit struct{}

// Title says what a person reads.
func (Commit) Title() string { return "commit" }

// Describe says it for a plan.
func (Commit) Describe(op *Operation) string {
	if back := op.Record.Return; back == nil && op.Facts.Installed() {
		return "the version before and its snapshot are kept; older ones, and a database that a rollback kept, are removed"
	}
	return "the version before and its snapshot are kept, older ones removed"
}

// keepDumps is how many runs' dumps are kept.
const keepDumps = 2

// Run cannot be undone once Committed is saved; what fails after that is only untidy.
func (Commit) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if err := commit(op, func(record *state.State) { conclude(record, run) }); err != nil {
		return err
	}
	if run.AdoptedFrom != "" {
		op.Note("the former directory %s is kept as %s, with everything that was added or changed inside %s; copy what you need, and remove it when no rollback needs it",
			run.Link, run.AdoptedFrom, mattermost.ShippedDirectories())
	}
	op.arrived(run.To)
	stopAgain(ctx, op)
	for _, err := range []error{
		mattermost.NoteVersion(run.To, run.Edition),
		pruneVersions(run),
		forgetPlugins(run),
		pruneFiles(dumpDir(), keptRuns(op)...),
		pruneFiles(filepath.Join(state.Dir, "plans"), keptRuns(op)...),
		pruneFiles(filepath.Join(state.Dir, "config"), keptRuns(op)...),
		pruneCopies(ctx, op),
		op.Releases.Prune(), // the archive is unpacked, and several hundred megabytes
	} {
		if err != nil {
			op.Warn("tidy up: %v", err)
		}
	}
	return nil
}

// stopAgain stops what was stopped before: it ran to be verified.
func stopAgain(ctx context.Context, op *Operation) {
	run := op.Record.Run
	if !run.WasOff || run.From == "" || run.Operation == "restore" { // what is restored is wanted
		return
	}
	if err := service(run).Stop(ctx); err != nil {
		op.Warn("%v", err)
		return
	}
	op.Note("%s was stopped before, and is stopped again; to start it: sudo systemctl start %s", run.Unit, run.Unit)
}

// pruneVersions removes the versions that Fetch made, but for this one and the one before. What it
// did not make, such as an adopted directory, is the administrator's.
func pruneVersions(run *state.Run) error {
	dir := filepath.Dir(run.NewTarget)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.IsDir() || path == run.NewTarget || path == run.OldTarget || !release.IsComplete(path) {
			continue
		}
		if err := release.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// keptRuns are this run and the one that the way back needs.
func keptRuns(op *Operation) []string {
	runs := []string{op.Record.Run.ID}
	if back := op.Record.Return; back != nil && back.Run != op.Record.Run.ID {
		runs = append(runs, back.Run)
	}
	return runs
}

// pruneFiles keeps the files of runs, and of the last ones up to keepDumps; their names begin with
// the run's id, which sorts by time.
func pruneFiles(dir string, runs ...string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := len(entries) - 1; i >= 0; i-- {
		name := entries[i].Name()
		of, _, _ := strings.Cut(name, ".")
		of = strings.TrimSuffix(of, "-stopped")
		if !slices.Contains(runs, of) {
			if len(runs) < keepDumps {
				runs = append(runs, of)
				continue
			}
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// pruneCopies keeps the newest checkpoint, which is of this run or of the last that needed one. That
// of a first installation is empty, and of no use to anyone.
func pruneCopies(ctx context.Context, op *Operation) error {
	if op.Record.Run.From == "" {
		return keepCopies(ctx, op, 0)
	}
	return keepCopies(ctx, op, 1) // after a rollback, what the newer version had
}

// keepCopies keeps the newest copies of the database, and with each the files that a restore replaced.
func keepCopies(ctx context.Context, op *Operation, keep int) error {
	admin, err := findAdmin(ctx, op.Facts.Database)
	if errors.Is(err, mattermost.ErrNoAdmin) {
		return pruneReplaced(op, nil) // then there are none
	}
	if err != nil {
		return err
	}
	copies, err := admin.Copies(ctx)
	if err != nil {
		return err
	}
	old := max(0, len(copies)-keep)
	for _, name := range copies[:old] {
		if err := admin.Drop(ctx, name); err != nil {
			return err
		}
		if keep > 0 { // else it is that of an empty database
			op.Note("the older copy of the database is removed: %s", name)
		}
	}
	return pruneReplaced(op, copies[old:])
}
