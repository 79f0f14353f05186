package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// bringBack restores database and files beside those that serve.
type bringBack struct{}

func (bringBack) Title() string { return "restore database and files" }

func (bringBack) Run(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	repo, err := openBackups(ctx, op)
	if err != nil {
		return err
	}
	admin, err := findAdmin(ctx, f.Database)
	switch {
	case errors.Is(err, mattermost.ErrNoAdmin):
		run.Filled = true
	case err != nil:
		return err
	default:
		run.Restored = mattermost.RestoredName(f.Database.Name, run.Started)
	}
	var foreign problem.List
	if run.Exchanges, foreign = exchanges(op, run.ID); len(foreign) > 0 {
		return foreign
	}
	if err := op.Save(); err != nil {
		return err
	}
	if run.Filled {
		if err := f.Database.Empty(ctx); err != nil {
			return err
		}
		err = fillDatabase(ctx, op, repo, *op.restore, f.Database)
	} else {
		err = restoreDatabase(ctx, op, repo, *op.restore, admin, run.Restored)
	}
	if err != nil {
		return err
	}
	if err := stage(ctx, op, repo); err != nil {
		return err
	}
	return sameDatabase(f.Config, run)
}

// stage restores the files, at once for all that goes to one directory.
func stage(ctx context.Context, op *Operation, repo *backup.Repository) error {
	run, m := op.Record.Run, op.restore.Manifest
	paths := map[string][]string{}
	for i, e := range run.Exchanges {
		dir := stagingOf(e)
		paths[dir] = append(paths[dir], m.Places[i].Path)
	}
	for dir, wanted := range paths {
		// The way there is for everybody, or the service's user could not go it. It is closed for
		// changes of that user's, who else could put a link in the place of what root fills.
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return fmt.Errorf("restore the files: %w", err)
		}
		if err := mattermost.Guard(filepath.Dir(dir), op.Facts.Unit.User); err != nil {
			return fmt.Errorf("restore the files: %w", err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("restore the files: %w", err)
		}
		if err := repo.Files(ctx, *op.restore, dir, wanted); err != nil {
			return err
		}
	}
	uid, gid, err := mattermost.IDs(op.Facts.Unit.User)
	if err != nil {
		return err
	}
	for _, e := range run.Exchanges {
		if _, err := os.Lstat(e.Staged); err != nil {
			return fmt.Errorf("restore the files: %w", err)
		}
		if err := renumber(e.Staged, m.UID, m.GID, uid, gid); err != nil {
			return fmt.Errorf("restore the files: %w", err)
		}
	}
	return nil
}

// stagingOf is the directory that an exchange's files wait in.
func stagingOf(e state.Exchange) string {
	return filepath.Dir(filepath.Dir(e.Kept))
}

// renumber gives what belonged to the service's user on the machine of the backup to the one of this
// machine, which may have other numbers.
func renumber(root string, fromUID, fromGID, uid, gid int) error {
	if fromUID == uid && fromGID == gid {
		return nil
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		newUID, newGID := swapped(int(st.Uid), fromUID, uid), swapped(int(st.Gid), fromGID, gid)
		if newUID == -1 && newGID == -1 {
			return nil
		}
		return os.Lchown(path, newUID, newGID)
	})
}

// swapped is to for what has the number from; -1, which chown(2) takes for no change, for all else.
func swapped(now, from, to int) int {
	if now == from {
		return to
	}
	return -1
}

// sameDatabase lets a restored configuration name the database that this host uses: the one of the
// backup may have had another password since, or another address.
func sameDatabase(now *mattermost.Config, run *state.Run) error {
	if now == nil || now.InDatabase || !now.Exists {
		return nil
	}
	for _, e := range run.Exchanges {
		for _, name := range []string{e.Staged, filepath.Join(e.Staged, filepath.Base(run.ConfigPath))} {
			if filepath.Base(name) != filepath.Base(run.ConfigPath) || !isBelow(run.ConfigPath, e.Path) {
				continue
			}
			if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
				return mattermost.CopyDatabaseSettings(now.Path, name)
			}
		}
	}
	return nil
}

func isBelow(path, dir string) bool {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// Undo removes what was restored and is not in its place; what is, exchange's undo has taken out.
func (bringBack) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if run.Restored == "" && !run.Filled {
		return nil
	}
	err := removeStaging(run)
	_, db, e := mattermost.Reopen(ctx, nil, run.Unit, run.Link, run.ConfigPath, run.ConfigCopy)
	if e != nil {
		return errors.Join(err, e)
	}
	if run.Filled {
		return errors.Join(err, db.Empty(ctx))
	}
	admin, e := findAdmin(ctx, db)
	if e != nil {
		return errors.Join(err, e)
	}
	return errors.Join(err, admin.Drop(ctx, run.Restored))
}

// removeStaging removes the directories that restored files waited in, with what was put aside there.
func removeStaging(run *state.Run) error {
	var failed []error
	for _, e := range run.Exchanges {
		if dir := stagingOf(e); filepath.Base(dir) == stagingPrefix+run.ID {
			failed = append(failed, os.RemoveAll(dir))
		}
	}
	return errors.Join(failed...)
}

// exchange puts database and files of the backup in the place of those that served.
type exchange struct{}

func (exchange) Title() string { return "put database and files in place" }

func (exchange) Run(ctx context.Context, op *Operation) error {
	run, f := op.Record.Run, op.Facts
	if f.Config.Exists && !f.Config.InDatabase {
		run.ConfigCopy = filepath.Join(state.Dir, "config", run.ID+".json")
		if err := mattermost.CopyConfig(f.Config.Path, run.ConfigCopy); err != nil {
			return err
		}
	}
	if !run.Filled {
		run.Replaced = mattermost.CheckpointName(f.Database.Name, run.Started)
	}
	if err := op.Save(); err != nil {
		return err
	}
	if !run.Filled {
		admin, err := findAdmin(ctx, f.Database)
		if err != nil {
			return err
		}
		if err := admin.PutBack(ctx, run.Restored, run.Replaced); err != nil {
			return err
		}
	}
	for _, e := range run.Exchanges {
		if err := mattermost.Exchange(e.Path, e.Staged, e.Kept); err != nil {
			return err
		}
	}
	if f.Config.InDatabase {
		return nil
	}
	now, err := f.Config.Reread()
	if err != nil {
		return err
	}
	port, health, err := now.Listen()
	if err != nil {
		return err
	}
	run.Port, run.Address, run.ServerName = port, health.URL, health.ServerName
	return op.Save()
}

// Undo puts the files back before the database, whose address is in one of them.
func (exchange) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped || run.Replaced == "" && !run.Filled {
		return nil
	}
	for i := len(run.Exchanges) - 1; i >= 0; i-- {
		e := run.Exchanges[i]
		if err := mattermost.ExchangeBack(e.Path, e.Staged, e.Kept, e.Fresh); err != nil {
			return err
		}
	}
	if run.Filled {
		return nil
	}
	_, db, err := mattermost.Reopen(ctx, nil, run.Unit, run.Link, run.ConfigPath, run.ConfigCopy)
	if err != nil {
		return err
	}
	admin, err := findAdmin(ctx, db)
	if err != nil {
		return err
	}
	there, err := admin.Exists(ctx, run.Replaced)
	if err != nil || !there {
		return err // it was never put aside, or is back
	}
	return admin.PutBack(ctx, run.Replaced, run.Restored)
}

// commitRestore makes it final. The database that was replaced stays as the newest checkpoint; the
// files that were are removed.
type commitRestore struct{}

func (commitRestore) Title() string { return "commit" }

func (c commitRestore) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	err := commit(op, func(record *state.State) {
		record.Active, record.Previous, record.Return = run.To, "", nil
		delete(record.Bad, run.To)
		if _, isBackup := backupOf(op.Way); isBackup && run.From != run.To {
			leave(record, run)
		}
	})
	if err != nil {
		return err
	}
	return errors.Join(mattermost.NoteVersion(run.To, run.Edition), c.Finish(ctx, op), dropEmpty(ctx, op), op.Releases.Prune())
}

var _ Finisher = commitRestore{}

// Finish removes the files that were replaced.
func (commitRestore) Finish(_ context.Context, op *Operation) error {
	return removeStaging(op.Record.Run)
}

// dropEmpty removes the database that was replaced when nothing was in it, and older copies than it
// otherwise.
func dropEmpty(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if run.Replaced == "" {
		return nil
	}
	if op.Facts.Schema.Empty() {
		admin, err := findAdmin(ctx, op.Facts.Database)
		if err != nil {
			return err
		}
		return admin.Drop(ctx, run.Replaced)
	}
	op.Note("the database that was replaced is kept as %s", run.Replaced)
	return nil
}
