package phase

import (
	"context"
	"fmt"
	"slices"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/state"
)

// mostLost is how many attachments without a file a manifest names; the proof excuses no others.
const mostLost = 10_000

// FilesMissing is a backup that lacks files which an earlier one has: the file store is not where it
// was, or somebody removed what is in it. The earlier one must not be the one that goes.
type FilesMissing struct {
	ID          string
	Missing     int
	Attachments int64
	Store       string
	Earlier     backup.Snapshot
	Kept        int // of the missing, how many the earlier one has
}

func (e *FilesMissing) Error() string {
	return fmt.Sprintf("backup %s is made, but %d of %d attachments have no file in %s any more; backup %s of %s has %d of them, and no backup was removed",
		e.ID, e.Missing, e.Attachments, e.Store, e.Earlier.ID, e.Earlier.Time.Local().Format(time.DateTime), e.Kept)
}

// Hint says what to type.
func (e *FilesMissing) Hint() string {
	return fmt.Sprintf("is it mounted?  sudo findmnt --target %s    bring the files back:  upgrade restore %s --replace …    or let them go:  upgrade backup prune …", e.Store, e.Earlier.ID)
}

// holding counts how many of these files of the file store an earlier backup has.
type holding func(earlier backup.Snapshot, paths []string) (int, error)

// lacking compares a backup with the earlier ones of its site: nil unless it lacks more than one
// attachment in a hundred beside those that were given up, and one of the others has as many of them.
// What nobody had backed up before it was lost, as to a power cut, is in none; gone says that this is so
// of all that is lost.
func lacking(all []backup.Snapshot, s backup.Snapshot, given int, has holding) (e *FilesMissing, gone bool, err error) {
	m, few := s.Manifest, int(s.Manifest.Attachments/100)
	if len(m.Lost) <= given+few {
		return nil, false, nil
	}
	gone = true
	for _, earlier := range all { // the newest first
		if earlier.Manifest.Site != m.Site || !earlier.Time.Before(s.Time) {
			continue
		}
		since := slices.DeleteFunc(slices.Clone(m.Lost), func(path string) bool { return slices.Contains(earlier.Manifest.Lost, path) })
		if len(since) == 0 {
			continue
		}
		kept, err := has(earlier, since)
		if err != nil {
			return nil, false, err
		}
		if kept > few {
			return &FilesMissing{ID: s.ID, Missing: len(m.Lost), Attachments: m.Attachments, Store: m.StorePath, Earlier: earlier, Kept: kept}, false, nil
		}
		gone = gone && kept == 0
	}
	return nil, gone, nil
}

// missed is lacking as an error. The earlier backups are read only when more is lost than was given up,
// and what none of them has is given up: nobody can bring it back.
func missed(ctx context.Context, op *Operation, repo *backup.Repository, s backup.Snapshot) error {
	lost, given := len(s.Manifest.Lost), givenUp(op)
	if lost > given {
		all, err := repo.Snapshots(ctx)
		if err != nil {
			return err
		}
		e, gone, err := lacking(all, s, given, func(earlier backup.Snapshot, paths []string) (int, error) { return repo.Has(ctx, earlier, paths) })
		switch {
		case err != nil:
			return err
		case e != nil:
			return e
		case !gone:
			return nil
		}
		op.Warn("no backup has the %d attachments without a file either", lost-given)
	}
	if lost == given {
		return nil
	}
	return acceptLost(op, s)
}

// givenUp is how many attachments without a file nobody waits for any more.
func givenUp(op *Operation) int {
	if op.Record.Backup == nil {
		return 0
	}
	return op.Record.Backup.Given
}

// letGoLost is acceptLost of the newest backup, as a person wants it.
func letGoLost(ctx context.Context, op *Operation, repo *backup.Repository) error {
	s, err := repo.Find(ctx, "latest", BackupSite(op.Config, op.Facts))
	if backup.IsEmpty(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return acceptLost(op, s)
}

// acceptLost remembers that what a backup lacks is gone for good.
func acceptLost(op *Operation, s backup.Snapshot) error {
	if op.Record.Backup == nil {
		op.Record.Backup = &state.Backup{ID: s.ID, Time: s.Time, Bytes: reportOf(s).Bytes}
	}
	op.Record.Backup.Given = len(s.Manifest.Lost)
	return op.Save()
}
