package phase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
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
	return found.Err()
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
	if !f.Config.InDatabase {
		run.ConfigPath = f.Config.Path
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

// prune keeps what the configuration says.
func prune(ctx context.Context, op *Operation, repo *backup.Repository) error {
	if err := unlock(ctx, op, repo); err != nil {
		return err
	}
	keep := op.Config.Backup.Kept()
	p, err := repo.Prune(ctx, BackupSite(op.Config, op.Facts), backup.Keep{Daily: keep.Daily, Weekly: keep.Weekly, Monthly: keep.Monthly})
	if op.Backup == nil {
		op.Backup = &BackupReport{}
	}
	op.Backup.Removed, op.Backup.Kept = p.Removed, p.Kept
	return err
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

// snapshot makes a backup: database, files, manifest, in this order (see package backup), and
// remembers it in the record.
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
	if err := places(ctx, op, &m); err != nil {
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

// places finds what survives the host: data, configuration, plugins, what someone added, wherever it
// really is. Logs are left out. Attachments that the server has lost already are named, so that the
// proof of the backup can tell them from those that it lacks.
func places(ctx context.Context, op *Operation, m *backup.Manifest) error {
	f := op.Facts
	covered := func(path string) bool {
		return slices.ContainsFunc(m.Places, func(p backup.Place) bool { return path == p.Path || strings.HasPrefix(path, p.Path+"/") })
	}
	add := func(name, path string, custom bool) error {
		real, err := filepath.EvalSymlinks(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !backedUp(f, path, real, custom) {
			op.Warn("%s is not in this backup: it leads to %s, which is not %s's", path, real, f.Unit.User)
			return nil
		}
		if !covered(real) {
			m.Places = append(m.Places, backup.Place{Name: name, Path: real, Custom: custom})
		}
		return nil
	}
	for _, p := range f.Places {
		if p.Name == "logs" || strings.HasSuffix(p.Name, ".log") {
			continue
		}
		if err := add(p.Name, filepath.Join(f.Dir, p.Name), p.Custom); err != nil {
			return fmt.Errorf("find what to back up: %w", err)
		}
	}
	if !f.Config.InDatabase {
		if err := add("config.json", f.Config.Path, false); err != nil {
			return fmt.Errorf("find what to back up: %w", err)
		}
	}
	m.Store = f.Config.String("FileSettings.DriverName")
	if m.Store == "" {
		m.Store = "local"
	}
	if m.Store != "local" {
		op.Warn("the attachments are in %s and not in this backup: that store needs one of its own", m.Store)
		return nil
	}
	store := f.Config.String("FileSettings.Directory")
	if store == "" {
		store = "data"
	}
	if !filepath.IsAbs(store) {
		store = filepath.Join(f.Dir, store)
	}
	if err := add("files", store, false); err != nil {
		return fmt.Errorf("find what to back up: %w", err)
	}
	real, err := filepath.EvalSymlinks(store)
	if err != nil {
		return fmt.Errorf("find what to back up: %w", err)
	}
	m.StorePath = real
	n := 0
	err = f.Database.Attachments(ctx, func(a mattermost.Attachment) error {
		if wrongWith(real, a) != "" {
			if n++; n <= mostLost {
				m.Lost = append(m.Lost, a.Path)
			}
		}
		return nil
	})
	switch given := givenUp(op); {
	case n > given:
		op.Warn("%d attachments have no file on the server any more, such as %s: only an earlier backup can bring them back", n, m.Lost[0])
	case n > 0:
		op.Note("%d attachments have no file on the server any more, as before", n)
	}
	return err
}

// wrongWith says what is wrong with the attachment below the file store; nothing when it is there.
func wrongWith(store string, a mattermost.Attachment) string {
	if !filepath.IsLocal(a.Path) {
		return "its path leads out of the file store"
	}
	info, err := os.Lstat(filepath.Join(store, a.Path))
	switch {
	case err != nil:
		return "is missing"
	case !info.Mode().IsRegular():
		return "is no file"
	case info.Size() != a.Size:
		return fmt.Sprintf("has %d bytes instead of %d", info.Size(), a.Size)
	}
	return ""
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
