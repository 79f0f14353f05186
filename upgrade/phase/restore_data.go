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
	"townsquare/upgrade/internal/untrusted"
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
	var refused problem.List
	if run.Exchanges, refused = exchanges(op, run.ID); len(refused) > 0 {
		return refused
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
		if err := makeStaging(dir, op.Facts.Unit.User); err != nil {
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
		info, err := os.Lstat(e.Staged)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 { // the service's user exchanged it while the backup was made
			err = fmt.Errorf("%s is a link in the backup", e.Staged)
		}
		if err != nil {
			return fmt.Errorf("restore the files: %w", err)
		}
		if err := renumber(e.Staged, m.UID, m.GID, uid, gid); err != nil {
			return fmt.Errorf("restore the files: %w", err)
		}
	}
	return nil
}

// makeStaging makes a directory for root only, beside what the user may change.
func makeStaging(dir, user string) error {
	parent, err := untrusted.MakeDir(filepath.Dir(dir), 0o755)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := mattermost.Guard(filepath.Dir(dir), user); err != nil {
		return err
	}
	return parent.Mkdir(filepath.Base(dir), 0o700)
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
				return mattermost.CopyDatabaseSettings(run.User, now.Path, name)
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
	_, db, e := reopen(ctx, run)
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
		if err := mattermost.CopyConfig(run.User, f.Config.Path, run.ConfigCopy); err != nil {
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
	_, db, err := reopen(ctx, run)
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
