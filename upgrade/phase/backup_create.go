package phase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/durable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// BackUp is a backup by itself, as at night. Nobody is stopped for it.
func BackUp() []Phase {
	return []Phase{Facts{}, backupReady{}, beginBackup{}, makeBackup{}, keepBackups{}}
}

// backupReady looks whether there is something to back up, and somewhere to put it.
type backupReady struct{}

func (backupReady) Title() string { return "check the repository" }

func (backupReady) Run(ctx context.Context, op *Operation) error {
	found, err := openProblems(ctx, op)
	if err != nil {
		return err
	}
	f := op.Facts
	if !f.Installed() || f.Schema.Empty() {
		found = append(found, problem.Problem{Where: "Mattermost", Found: "not installed, or its database is empty", Allowed: "something to back up",
			Hint: "upgrade apply …, or from a backup: upgrade restore latest …"})
	} else if _, err := mattermost.FindTools(ctx, host.Run, f.Schema.Server); err != nil {
		found = append(found, problem.Problem{Where: "pg_dump", Found: err.Error(), Allowed: fmt.Sprintf("version %d or newer", f.Schema.Server),
			Hint: fmt.Sprintf("sudo apt install postgresql-client-%d", f.Schema.Server)})
	}
	serving, err := checkServing(ctx, op)
	if err != nil {
		return err
	}
	return append(found, serving...).Err()
}

// openProblems is checkBackups for what is nothing without a repository.
func openProblems(ctx context.Context, op *Operation) (problem.List, error) {
	_, err := openBackups(ctx, op)
	return backupProblems(err)
}

// beginBackup takes the host for a run that leaves the service alone.
type beginBackup struct{}

func (beginBackup) Title() string { return "lock the host" }

func (beginBackup) Run(ctx context.Context, op *Operation) error {
	f := op.Facts
	version := f.Version.String()
	if !f.Installed() {
		version = ""
	}
	run := state.Run{From: version, To: version, Edition: string(f.Edition), Unit: f.Unit.Name, Link: f.Link, OldTarget: f.OldTarget, NewTarget: f.Dir}
	if err := anchor(ctx, &run, f); err != nil {
		return err
	}
	return op.Acquire(ctx, run)
}

// makeBackup makes it.
type makeBackup struct{}

func (makeBackup) Title() string { return "back up" }

func (makeBackup) Run(ctx context.Context, op *Operation) error {
	repo, err := openBackups(ctx, op)
	if err != nil {
		return err
	}
	return snapshot(ctx, op, repo)
}

// keepBackups lets go of what is too old. The new backup is safe whatever becomes of this.
type keepBackups struct{}

func (keepBackups) Title() string { return "remove older backups" }

func (keepBackups) Run(ctx context.Context, op *Operation) error {
	repo, err := openBackups(ctx, op)
	if err == nil {
		err = prune(ctx, op, repo)
	}
	if err != nil && ctx.Err() == nil {
		op.Warn("%v", err)
		return nil
	}
	return err
}

// prune keeps what the configuration keeps, and what heldBackups names.
func prune(ctx context.Context, op *Operation, repo *backup.Repository) error {
	if err := unlock(ctx, op, repo); err != nil {
		return err
	}
	held, err := heldBackups(ctx, op, repo)
	if err != nil {
		return err
	}
	keep := op.Config.Backup.Kept()
	p, err := repo.Prune(ctx, BackupSite(op.Config, op.Facts), backup.Keep{Last: keep.Last, Daily: keep.Daily, Weekly: keep.Weekly, Monthly: keep.Monthly}, held...)
	if op.Backup == nil {
		op.Backup = &BackupReport{}
	}
	op.Backup.Removed, op.Backup.Kept = len(p.Removed), p.Kept
	for _, s := range p.Removed {
		op.Backup.RemovedIDs = append(op.Backup.RemovedIDs, s.ID)
		op.Note("backup %s of %s is removed: %s, %d posts", s.ID, s.Time.Local().Format("2006-01-02 15:04"), s.Manifest.Mattermost, s.Manifest.Posts)
	}
	return err
}

// heldBackups are the backups that stay regardless of the rules: the one that was verified last, and the
// newest of an older version, which is from before the last upgrade.
func heldBackups(ctx context.Context, op *Operation, repo *backup.Repository) (held []string, err error) {
	if op.Record.Backup != nil && op.Record.Backup.VerifiedID != "" {
		held = append(held, op.Record.Backup.VerifiedID)
	}
	if !op.Facts.Installed() {
		return held, nil
	}
	all, err := repo.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	if older := pickBackups(op, all); len(older) > 0 {
		held = append(held, older[0].ID)
	}
	return held, nil
}

// unlock removes what a killed restic of this host left.
func unlock(ctx context.Context, op *Operation, repo *backup.Repository) error {
	n, err := repo.Unlock(ctx)
	if n > 0 {
		op.Note("a lock of a backup that was killed is removed from the repository")
	}
	return err
}

// PruneBackups is retention by itself.
func PruneBackups() []Phase {
	return []Phase{Facts{}, pruneReady{}, beginBackup{}, pruneBackups{}}
}

type pruneReady struct{}

func (pruneReady) Title() string { return "check the repository" }

func (pruneReady) Run(ctx context.Context, op *Operation) error {
	found, err := openProblems(ctx, op)
	if err != nil {
		return err
	}
	return found.Err()
}

type pruneBackups struct{}

func (pruneBackups) Title() string { return "remove older backups" }

func (pruneBackups) Run(ctx context.Context, op *Operation) error {
	repo, err := openBackups(ctx, op)
	if err != nil {
		return err
	}
	if err := letGoLost(ctx, op, repo); err != nil {
		return err
	}
	return prune(ctx, op, repo)
}

// snapshot makes a backup: database, files, manifest, in this order (see package backup), and remembers
// it in the record.
func snapshot(ctx context.Context, op *Operation, repo *backup.Repository) error {
	f, run := op.Facts, op.Record.Run
	if made, err := repo.Make(ctx); err != nil {
		return err
	} else if made {
		op.Note("the repository %s is made", op.Config.Backup.Repository)
	}
	if err := unlock(ctx, op, repo); err != nil {
		return err
	}
	tools, err := mattermost.FindTools(ctx, mattermost.Idly(host.Run), f.Schema.Server)
	if err != nil {
		return err
	}
	m := backup.Manifest{Run: run.ID, Site: BackupSite(op.Config, f), Mattermost: f.Version.String(), Edition: string(f.Edition), Release: origin(ctx, op),
		Upgrader: buildOf(), System: systemName(), PostgreSQL: f.Schema.Server, Schema: f.Schema.Migrations}
	for _, p := range f.Plugins {
		m.Plugins = append(m.Plugins, backup.Plugin{ID: p.ID, Version: p.Version, Enabled: p.Enabled})
	}
	if m.UID, m.GID, err = mattermost.IDs(f.Unit.User); err != nil {
		return err
	}
	// Before the first byte goes to the repository: what cannot be found leaves no half backup there.
	if err := places(ctx, op, &m); err != nil {
		return fmt.Errorf("find what to back up: %w", err)
	}
	var rows mattermost.Rows
	database, err := repo.SaveDatabase(ctx, m.Site, m.Run, func(w io.Writer) (err error) {
		rows, m.Time, err = f.Database.Stream(ctx, tools, w, func(n int64) { op.Progress(n, 0, "bytes") })
		return err
	})
	if err != nil {
		return err
	}
	m.Database, m.Bytes, m.Rows = database.ID, database.Bytes, rows
	m.Posts, m.Users, m.Channels, m.Attachments = rows.Of("posts"), rows.Of("users"), rows.Of("channels"), rows.Of("fileinfo")
	if err := absent(ctx, op, &m); err != nil {
		return err
	}
	paths := make([]string, len(m.Places))
	for i, p := range m.Places {
		paths[i] = p.Path
	}
	files, err := repo.SaveFiles(ctx, m.Site, m.Run, paths, []string{stagingPrefix + "*"}, func(done, total int64) { op.Progress(done, total, "bytes") })
	if err != nil {
		return err
	}
	if m.StorePath != "" {
		// Mattermost does not sync what people upload. A file that a backup has and a power cut then takes
		// would count as one that somebody removed, and stop every later backup. What came while the files
		// were read may be in it, too: so it is done now.
		if err := durable.SyncAll(m.StorePath); err != nil {
			return fmt.Errorf("back up the files: %w", err)
		}
	}
	m.Files, m.FileCount, m.FileBytes, m.Added = files.ID, files.Files, files.Bytes, database.Added+files.Added
	s, err := repo.SaveManifest(ctx, m)
	if err != nil {
		return err
	}
	op.Backup = reportOf(s)
	known := op.Record.Backup
	if known == nil {
		known = &state.Backup{}
		op.Record.Backup = known
	}
	known.ID, known.Time, known.Bytes = s.ID, s.Time, m.Bytes+m.FileBytes
	op.Note("backup %s: %d posts, %d users, %d files, %d MB, of which %.1f MB are new", s.ID, m.Posts, m.Users, m.FileCount, (m.Bytes+m.FileBytes)/1e6, float64(m.Added)/1e6)
	if err := op.Save(); err != nil {
		return err
	}
	return missed(ctx, op, repo, s)
}

// origin is where the installed release came from. What nobody noted, as of a server made by hand,
// is looked up; not finding it is no reason to make no backup.
func origin(ctx context.Context, op *Operation) backup.Release {
	f := op.Facts
	r := backup.Release{Arch: op.Arch}
	if m, err := release.Complete(f.Dir); err == nil && m.URL != "" {
		r.URL, r.SignatureURL, r.SHA256 = m.URL, m.SignatureURL, m.SHA256
		return r
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it took too long"))
	defer cancel()
	catalog, err := op.Releases.Catalog(ctx)
	if err != nil {
		return r
	}
	if found, ok := catalog.Find(f.Version, f.Edition, op.Arch); ok {
		r.URL, r.SignatureURL, r.SHA256 = found.URL, found.SignatureURL, found.SHA256
	}
	return r
}

func buildOf() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}

// systemName is what the system calls itself.
func systemName() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}
