package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// VerifyBackup proves that the newest backup can be restored, by restoring it: the database into one
// of its own, the files into a directory of their own. The service goes on meanwhile.
func VerifyBackup() []Phase {
	return []Phase{Facts{}, verifyReady{}, beginBackup{}, proveBackup{}}
}

// checkedPercent is how much of the whole repository's data is read at each proof, another part each
// time; of the newest backup everything is.
const checkedPercent = 5

func scratchDir() string { return filepath.Join(state.Dir, "scratch") }

type verifyReady struct{}

func (verifyReady) Title() string { return "check that it can be done" }

func (verifyReady) Run(ctx context.Context, op *Operation) error {
	found, err := openProblems(ctx, op)
	if err != nil || len(found) > 0 {
		return errors.Join(err, found.Err())
	}
	_, s, err := latestBackup(ctx, op)
	if backup.IsEmpty(err) {
		return problem.List{{Where: "backup repository", Found: "no backup in it", Allowed: "at least one", Hint: "upgrade backup create …"}}
	}
	if err != nil {
		return err
	}
	f, r := op.Facts, &room{}
	r.need(proofDir(op, s.Manifest, space), uint64(s.Manifest.FileBytes)+spareBytes, uint64(s.Manifest.FileCount), "the files of the backup")
	admin, err := findAdmin(ctx, f.Database)
	switch {
	case errors.Is(err, mattermost.ErrNoAdmin):
		found = append(found, noAdmin(f, "no role here may make another database", "one that may, for a scratch database"))
	case err != nil:
		return err
	case f.Database.Local():
		if data := admin.DataDirectory(ctx); data != "" {
			r.need(data, uint64(max(f.Schema.Bytes, s.Manifest.Bytes))+spareBytes, 0, "the database of the backup")
		}
	}
	list, err := r.problems(space)
	if err != nil {
		return err
	}
	return append(found, list...).Err()
}

// proofDir is where the files of a backup are restored for its proof: our own directory, or beside the
// file store where only that disk has the space, and no other user can exchange what root makes there.
func proofDir(op *Operation, m backup.Manifest, space func(string) (free, inodes uint64, id any, err error)) string {
	own := filepath.Join(scratchDir(), op.ID)
	fits := func(dir string) bool {
		r := &room{}
		r.need(dir, uint64(m.FileBytes)+spareBytes, uint64(m.FileCount), "")
		short, err := r.problems(space)
		return err == nil && len(short) == 0
	}
	store := op.Facts.FileStore()
	if store == "" || fits(own) {
		return own
	}
	if dir := filepath.Dir(settled(store)); rootsOwn(dir) && fits(dir) {
		return filepath.Join(dir, stagingPrefix+op.ID)
	}
	return own
}

// rootsOwn reports whether no other user can rename what root makes in dir, nor what is on the way there.
func rootsOwn(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if owner != 0 && owner != os.Geteuid() || info.Mode()&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {
		return false
	}
	return dir == filepath.Dir(dir) || rootsOwn(filepath.Dir(dir))
}

// proveBackup restores it and compares.
type proveBackup struct{}

func (proveBackup) Title() string { return "restore it for a proof" }

// NotRestorable says what a backup lacks.
type NotRestorable struct {
	ID    string
	Wrong []string
}

func (e *NotRestorable) Error() string {
	text := fmt.Sprintf("backup %s cannot be restored: %s", e.ID, e.Wrong[0])
	if n := len(e.Wrong) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// Hint says what to type.
func (*NotRestorable) Hint() string {
	return "make a new one now, and prove that: upgrade backup create … && upgrade backup verify …"
}

func (proveBackup) Run(ctx context.Context, op *Operation) (err error) {
	repo, s, err := latestBackup(ctx, op)
	if err != nil {
		return err
	}
	if err := unlock(ctx, op, repo); err != nil {
		return err
	}
	admin, err := findAdmin(ctx, op.Facts.Database)
	if err != nil {
		return err
	}
	run := op.Record.Run
	run.Backup, run.Scratch, run.ProofAt = s.ID, mattermost.ScratchName(op.Facts.Database.Name, run.Started), proofDir(op, s.Manifest, space)
	if err := op.Save(); err != nil {
		return err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, endProof(clean, op))
	}()
	if err := errors.Join(admin.Sweep(ctx), os.RemoveAll(scratchDir())); err != nil { // of one that was killed
		return err
	}
	wrong := &NotRestorable{ID: s.ID}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"its database", func() error { return restoreDatabase(ctx, op, repo, s, admin, run.Scratch) }},
		{"its files", func() error { return proveFiles(ctx, op, repo, s) }},
		{"its attachments", func() error { return missed(ctx, op, repo, s) }},
		{"the repository", func() error { return repo.Check(ctx, checkedPercent) }},
	} {
		err := step.do()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			wrong.Wrong = append(wrong.Wrong, err.Error())
			op.Warn("%s: %v", step.what, err)
		}
	}
	op.Backup = reportOf(s)
	if len(wrong.Wrong) > 0 {
		return wrong
	}
	op.Backup.Restorable = true
	m := s.Manifest
	op.Note("restorable: %d posts, %d users, %d files, every one of %d attachments", m.Posts, m.Users, m.FileCount, m.Attachments-m.Missing()-m.BehindLinks())
	if n := m.Missing(); n > 0 {
		op.Warn("%d attachments were missing on the server before the backup, such as %s", n, m.Lost[0])
	}
	if n := m.BehindLinks(); n > 0 {
		op.Warn("%d attachments are behind links that lead out of the file store, and not in the backup", n)
	}
	known := op.Record.Backup
	if known == nil { // made by another machine, as before this one was rebuilt
		known = &state.Backup{ID: s.ID, Time: s.Time, Bytes: op.Backup.Bytes}
		op.Record.Backup = known
	}
	known.VerifiedID, known.VerifiedAt = s.ID, time.Now().UTC()
	return op.Save()
}

// Undo removes what a killed proof left.
func (proveBackup) Undo(ctx context.Context, op *Operation) error { return endProof(ctx, op) }

func endProof(ctx context.Context, op *Operation) error {
	return endScratch(ctx, op, func() error {
		err := os.RemoveAll(scratchDir())
		if at := op.Record.Run.ProofAt; filepath.Base(at) == stagingPrefix+op.Record.Run.ID {
			err = errors.Join(err, os.RemoveAll(at))
		}
		return err
	})
}

// proveFiles restores the files and looks for every attachment that the restored database names.
func proveFiles(ctx context.Context, op *Operation, repo *backup.Repository, s backup.Snapshot) error {
	m, dir := s.Manifest, op.Record.Run.ProofAt
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	paths := make([]string, len(m.Places))
	for i, p := range m.Places {
		paths[i] = p.Path
	}
	if err := repo.Files(ctx, s, dir, paths); err != nil {
		return err
	}
	count, bytes, err := weigh(dir)
	if err != nil {
		return err
	}
	if count != m.FileCount || bytes != m.FileBytes {
		return fmt.Errorf("%d files with %d bytes were restored, and there were %d with %d", count, bytes, m.FileCount, m.FileBytes)
	}
	if m.Store != "local" {
		return nil
	}
	return proveAttachments(ctx, op.Facts.Database.On(op.Record.Run.Scratch), filepath.Join(dir, m.StorePath), &m)
}

// proveAttachments looks for the file of every row of fileinfo below the directory store; what the
// manifest lists as missing is excused.
func proveAttachments(ctx context.Context, db *mattermost.Database, dir string, m *backup.Manifest) error {
	store, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer store.Close()
	var first string
	n := 0
	excused := make(map[string]bool, len(m.Lost))
	for _, path := range m.Lost {
		excused[path] = true
	}
	err = db.Attachments(ctx, func(a mattermost.Attachment) error {
		wrong := wrongWith(store, a)
		if wrong == "" || excused[a.Path] || behind(m, a.Path) != nil {
			return nil
		}
		if n++; n == 1 {
			first = a.Path + " " + wrong
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case n == 1:
		return fmt.Errorf("the attachment %s", first)
	case n > 1:
		return fmt.Errorf("%d attachments are missing or damaged; %s", n, first)
	}
	return nil
}

// weigh counts the files below dir as restic does: regular ones. Links and pipes are in a backup and not
// in its counts, tried with 0.14 and read in archiver.go of later ones.
func weigh(dir string) (count, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		count++
		bytes += info.Size()
		return nil
	})
	return count, bytes, err
}
