package phase

import (
	"context"
	"fmt"
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
}

func (e *FilesMissing) Error() string {
	return fmt.Sprintf("backup %s is made, but %d of %d attachments have no file in %s any more; backup %s of %s has %d more of them, and no backup was removed",
		e.ID, e.Missing, e.Attachments, e.Store, e.Earlier.ID, e.Earlier.Time.Local().Format(time.DateTime), e.Missing-len(e.Earlier.Manifest.Lost))
}

// Hint says what to type.
func (e *FilesMissing) Hint() string {
	return fmt.Sprintf("is it mounted?  sudo findmnt --target %s    bring the files back:  upgrade restore %s --replace …    or let them go:  upgrade backup prune …", e.Store, e.Earlier.ID)
}

// lacking compares a backup with the earlier ones of its site: nil unless more than one attachment in
// a hundred has lost its file since one of them. given is how many a person let go.
func lacking(all []backup.Snapshot, s backup.Snapshot, given int) *FilesMissing {
	m, few := s.Manifest, int(s.Manifest.Attachments/100)
	if len(m.Lost) <= given+few {
		return nil
	}
	for _, earlier := range all { // the newest first
		if earlier.Manifest.Site == m.Site && earlier.Time.Before(s.Time) && len(m.Lost) > len(earlier.Manifest.Lost)+few {
			return &FilesMissing{ID: s.ID, Missing: len(m.Lost), Attachments: m.Attachments, Store: m.StorePath, Earlier: earlier}
		}
	}
	return nil
}

// missed is lacking as an error; the earlier backups are only read where something is lost at all.
func missed(ctx context.Context, op *Operation, repo *backup.Repository, s backup.Snapshot) error {
	given := 0
	if op.Record.Backup != nil {
		given = op.Record.Backup.Given
	}
	if len(s.Manifest.Lost) <= given {
		return nil
	}
	all, err := repo.Snapshots(ctx)
	if err != nil {
		return err
	}
	if e := lacking(all, s, given); e != nil {
		return e
	}
	return nil
}

// giveUpLost remembers that a person lets go of what the newest backup lacks.
func giveUpLost(ctx context.Context, op *Operation, repo *backup.Repository) error {
	s, err := repo.Find(ctx, "latest", BackupSite(op.Config, op.Facts))
	if backup.IsEmpty(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if op.Record.Backup == nil {
		op.Record.Backup = &state.Backup{ID: s.ID, Time: s.Time, Bytes: reportOf(s).Bytes}
	}
	op.Record.Backup.Given = len(s.Manifest.Lost)
	return op.Save()
}
