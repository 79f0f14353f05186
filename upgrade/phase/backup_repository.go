package phase

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// BackupReport is what became of a backup.
type BackupReport struct {
	ID          string    `json:"id,omitempty"`
	Time        time.Time `json:"time,omitzero"` // what came later is not in it
	Mattermost  string    `json:"mattermost,omitempty"`
	Posts       int64     `json:"posts"`
	Users       int64     `json:"users"`
	Attachments int64     `json:"attachments"`
	Files       int64     `json:"files"`
	Bytes       int64     `json:"bytes"`             // of files and database
	Added       int64     `json:"added"`             // to the repository
	Lost        int64     `json:"lost,omitempty"`    // attachments that the server itself had lost before
	Removed     int       `json:"removed,omitempty"` // older backups
	RemovedIDs  []string  `json:"removed_ids,omitempty"`
	Kept        int       `json:"kept,omitempty"` // backups that stay
	Restorable  bool      `json:"restorable"`     // verified: it was restored whole

	Outside []backup.Link `json:"outside,omitempty"` // links in it to files that it does not hold
}

func reportOf(s backup.Snapshot) *BackupReport {
	m := s.Manifest
	return &BackupReport{ID: s.ID, Time: s.Time, Mattermost: m.Mattermost, Posts: m.Posts, Users: m.Users, Attachments: m.Attachments,
		Files: m.FileCount, Bytes: m.FileBytes + m.Bytes, Added: m.Added, Lost: m.Missing(), Outside: m.Outside}
}

// BackupOptions are where this host's backups are.
func BackupOptions(c state.Config) backup.Options {
	return backup.Options{Repository: c.Backup.Repository, HostKey: c.Backup.HostKey, Password: state.BackupPassword,
		Credentials: state.BackupCredentials, Key: state.BackupKey, Dir: state.BackupDir, ReadOnly: c.Backup.ReadOnly}
}

// openBackups opens the repository; the error is backup.ErrNone when none is configured.
// Status repeats what is wrong with it until it opens again.
func openBackups(ctx context.Context, op *Operation) (*backup.Repository, error) {
	repo, err := backup.Open(ctx, BackupOptions(op.Config))
	return repo, errors.Join(err, noteRepository(op, err))
}

// LookAtBackups notes whether the repository opens, for a scheduled check.
func LookAtBackups(ctx context.Context, op *Operation) { _, _ = openBackups(ctx, op) }

func noteRepository(op *Operation, err error) error {
	var open *backup.OpenError
	found := state.Pending{Since: time.Now().UTC().Truncate(time.Second)}
	switch {
	case op.Pending == nil, errors.Is(err, ErrInterrupted), errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &open):
		found.What = open.Error()
	case err != nil && !errors.Is(err, backup.ErrNone):
		return nil // a finding about this server, which each run repeats
	}
	_, err = op.Pending(schedule.Repository, found)
	return err
}

// latestBackup is the newest backup of this host's site.
func latestBackup(ctx context.Context, op *Operation) (*backup.Repository, backup.Snapshot, error) {
	repo, err := openBackups(ctx, op)
	if err != nil {
		return nil, backup.Snapshot{}, err
	}
	s, err := repo.Find(ctx, "latest", BackupSite(op.Config, op.Facts))
	return repo, s, err
}

// BackupSite is the name under which a host's backups are found again, also by another machine: the
// host in the site's URL. f may be nil.
func BackupSite(c state.Config, f *mattermost.Installation) string {
	for _, text := range []string{c.URL, addressOf(f)} {
		if u, err := url.Parse(text); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

func addressOf(f *mattermost.Installation) string {
	if f == nil {
		return ""
	}
	return f.SiteURL
}

// checkBackups is the preflight of everything that needs the repository.
func checkBackups(ctx context.Context, op *Operation) (problem.List, error) {
	if op.Config.Backup.Repository == "" {
		op.Warn("no backups: no repository is configured, and the database's dump stays on this server's own disk")
		return nil, nil
	}
	_, err := openBackups(ctx, op)
	return backupProblems(err)
}

// backupProblems makes findings of what is wrong with the repository; an interruption stays an error.
func backupProblems(err error) (problem.List, error) {
	var (
		list problem.List
		open *backup.OpenError
	)
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, ErrInterrupted):
		return nil, err
	case errors.As(err, &list):
		return list, nil
	case errors.Is(err, backup.ErrNone):
		return problem.List{{Where: "backup.repository", Found: "not set", Allowed: "where the backups go: a path, sftp:user@host:/path, or s3:https://host/bucket/path",
			Hint: "of a stack's server: pulumi config set townsquare:backups true && pulumi up    of any other: upgrade backup --help"}}, nil
	case errors.As(err, &open):
		return problem.List{{Where: "backup repository", Found: err.Error(), Allowed: "a repository that opens", Hint: open.Hint()}}, nil
	}
	return nil, err
}

// restoreDatabase makes the database name beside the application's, which that of the backup fills.
// It is proven whole: as many rows in every table as the manifest says.
func restoreDatabase(ctx context.Context, op *Operation, repo *backup.Repository, s backup.Snapshot, admin *mattermost.Admin, name string) error {
	if err := admin.Create(ctx, name); err != nil {
		return err
	}
	return fillDatabase(ctx, op, repo, s, op.Facts.Database.On(name))
}

// fillDatabase fills an empty database from the backup.
func fillDatabase(ctx context.Context, op *Operation, repo *backup.Repository, s backup.Snapshot, into *mattermost.Database) error {
	return into.Load(ctx, s.Manifest.Rows, func(w io.Writer) error {
		return repo.Database(ctx, s, &counted{w: w, op: op, total: s.Manifest.Bytes})
	})
}

// counted reports what passes through it.
type counted struct {
	w           io.Writer
	op          *Operation
	done, total int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.done += int64(n)
	c.op.Progress(c.done, c.total, "bytes")
	return n, err
}
