package phase

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// commitRestore makes it final. What was replaced stays until the next upgrade or restore is final: the
// database as the newest copy, the files beside where they were, as the database names them.
type commitRestore struct{}

func (commitRestore) Title() string { return "commit" }

func (c commitRestore) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if err := commit(op, func(record *state.State) { conclude(record, run) }); err != nil {
		return err
	}
	for _, err := range []error{mattermost.NoteVersion(run.To, run.Edition), dropReplaced(ctx, op), c.Finish(ctx, op), op.Releases.Prune()} {
		if err != nil {
			op.Warn("tidy up: %v", err)
		}
	}
	return nil
}

// concludeRestore is conclude of a restore: there is no way back but by what it replaced. The files are
// in the record from the moment at which nothing is undone any more, so that they are removed one day.
func concludeRestore(record *state.State, run *state.Run) {
	record.Active, record.Previous, record.Return = run.To, "", nil
	delete(record.Bad, run.To)
	r := state.Replaced{Run: run.ID, Database: run.Replaced}
	for _, e := range run.Exchanges {
		if dir := stagingOf(e); !slices.Contains(r.Dirs, dir) {
			r.Dirs = append(r.Dirs, dir)
		}
	}
	record.Replaced = append(slices.Clip(record.Replaced), r)
	var asked Options
	if json.Unmarshal([]byte(run.Options), &asked) != nil {
		return
	}
	if _, isBackup := backupOf(asked.Way); isBackup && run.From != run.To {
		leave(record, run)
	}
}

// stays returns why a restore is not undone: users wrote on the restored database, which is in place.
// Else it is nil.
func stays(ctx context.Context, run *state.Run, db *mattermost.Database) error {
	since := exposed(run)
	if since.IsZero() || run.Replaced == "" && !run.Filled {
		return nil
	}
	if run.Replaced != "" {
		admin, err := findAdmin(ctx, db)
		if err != nil {
			return err
		}
		if there, err := admin.Exists(ctx, run.Replaced); err != nil || !there {
			return err
		}
	}
	written, err := db.Written(ctx, since)
	if err != nil || len(written) == 0 {
		return err
	}
	return &kept{why: errors.New("they wrote it on the restored database"), since: since, written: list(written), run: *run}
}

// dropReplaced removes the database that was replaced when nothing was in it, and older copies than it
// otherwise, with the files that belong to those.
func dropReplaced(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if run.Replaced == "" || !op.Facts.Schema.Empty() {
		if run.Replaced != "" {
			op.Note("the database that was replaced is kept as %s until the next upgrade or restore is finalized", run.Replaced)
		}
		return keepCopies(ctx, op, 1)
	}
	admin, err := findAdmin(ctx, op.Facts.Database)
	if err != nil {
		return err
	}
	return errors.Join(admin.Drop(ctx, run.Replaced), keepCopies(ctx, op, 1))
}

// Finish removes what this restore does not keep, and forgets the directories that are empty then. It may
// be called again.
func (commitRestore) Finish(_ context.Context, op *Operation) error {
	var failed []error
	i := slices.IndexFunc(op.Record.Replaced, func(r state.Replaced) bool { return r.Run == op.Record.Run.ID })
	if i < 0 {
		return nil
	}
	r := &op.Record.Replaced[i]
	r.Dirs = slices.DeleteFunc(slices.Clone(r.Dirs), func(dir string) bool {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			if e.Name() != keptName {
				err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
			}
		}
		_ = os.Remove(filepath.Join(dir, keptName)) // where nothing is in it
		if e := os.Remove(dir); e == nil || errors.Is(e, fs.ErrNotExist) {
			return true
		}
		failed = append(failed, err)
		op.Note("the files that were replaced are kept in %s until the next upgrade or restore is finalized", filepath.Join(dir, keptName))
		return false
	})
	if len(r.Dirs) == 0 {
		op.Record.Replaced = slices.Delete(slices.Clone(op.Record.Replaced), i, i+1)
	}
	return errors.Join(errors.Join(failed...), op.Save())
}

// pruneReplaced removes the files that restores replaced, and whose database is none of copies any more;
// those of this run stay. What cannot be removed stays in the record.
func pruneReplaced(op *Operation, copies []string) error {
	var failed []error
	left := slices.DeleteFunc(slices.Clone(op.Record.Replaced), func(r state.Replaced) bool {
		if r.Run == op.Record.Run.ID || slices.Contains(copies, r.Database) {
			return false
		}
		var err error
		for _, dir := range r.Dirs {
			if filepath.Base(dir) == stagingPrefix+r.Run {
				err = errors.Join(err, os.RemoveAll(dir))
			}
		}
		failed = append(failed, err)
		return err == nil
	})
	if len(left) == len(op.Record.Replaced) {
		return errors.Join(failed...)
	}
	op.Record.Replaced = left
	return errors.Join(errors.Join(failed...), op.Save())
}
