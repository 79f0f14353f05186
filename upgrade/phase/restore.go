package phase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// Restore brings a service back from a backup: on a host that has none, or in the place of the one
// that it has, which is put back if that fails. Everything that takes time is done beside what
// serves: the service is away only for the exchange.
func Restore() []Phase {
	return []Phase{
		Facts{},
		findBackup{},
		restoreReady{},
		beginRestore{},
		reinstall{},
		Grant{},
		bringBack{},
		Stop{}, // the service is away from here
		exchange{},
		Swap{},
		Start{},
		Verify{},
		Open{}, // it is back
		Watch{},
		commitRestore{},
		Timers{}, // a server that was just rebuilt has none
	}
}

// findBackup chooses the backup, and with it the version.
type findBackup struct{}

func (findBackup) Title() string { return "find the backup" }

func (findBackup) Run(ctx context.Context, op *Operation) error {
	found, err := openProblems(ctx, op)
	if err != nil || len(found) > 0 {
		return errors.Join(err, found.Err())
	}
	repo, err := openBackups(ctx, op)
	if err != nil {
		return err
	}
	s, err := repo.Find(ctx, op.Snapshot, BackupSite(op.Config, op.Facts))
	if err != nil {
		return problem.List{{Where: "backup", Found: err.Error(), Allowed: "one that is there", Hint: "upgrade backup list …"}}
	}
	if site := BackupSite(op.Config, op.Facts); s.Manifest.Site != site {
		op.Warn("the backup is of %s, and this is %s", s.Manifest.Site, site)
	}
	version, err := release.Parse(s.Manifest.Mattermost)
	if err != nil {
		return fmt.Errorf("the manifest of backup %s: %w", s.ID, err)
	}
	r := s.Manifest.Release
	next := &release.Release{Version: version, Edition: release.Edition(s.Manifest.Edition), Arch: op.Arch,
		URL: r.URL, SignatureURL: r.SignatureURL, SHA256: r.SHA256}
	if next.URL == "" || r.Arch != op.Arch {
		if err := lookUp(ctx, op, next); err != nil {
			return err
		}
	}
	op.Choice = release.Choice{Target: next, Next: next, Why: fmt.Sprintf("Backup %s of %s: Mattermost %s with %d posts, %d users and %d attachments.",
		s.ID, s.Time.Format("2006-01-02 15:04 MST"), version, s.Manifest.Posts, s.Manifest.Users, s.Manifest.Attachments)}
	op.Backup, op.restore = reportOf(s), &s
	op.Restore, err = restoringOf(ctx, op.Facts, s)
	return err
}

// restoringOf counts in the database what was written since the backup.
func restoringOf(ctx context.Context, f *mattermost.Installation, s backup.Snapshot) (*Restoring, error) {
	r := &Restoring{Backup: s.ID, Since: s.Time, Replaces: !f.Schema.Empty()}
	if !r.Replaces {
		return r, nil
	}
	var err error
	r.Loses, err = f.Database.Written(ctx, s.Time)
	return r, err
}

// Restoring is what a restore would bring, and what it would replace.
type Restoring struct {
	Backup   string         `json:"backup"`
	Since    time.Time      `json:"since"` // what was written from here on is not in it
	Replaces bool           `json:"replaces"`
	Loses    map[string]int `json:"loses,omitempty"` // of it, as counted in the database that is replaced
}

// Lost is what is out of sight after the restore.
func (r Restoring) Lost() string { return list(r.Loses) }

// lookUp asks the vendor for what the backup does not say, or for another architecture.
func lookUp(ctx context.Context, op *Operation, next *release.Release) error {
	dir := mattermost.VersionDir(op.Facts.Link, next.Dir())
	if release.IsComplete(dir) {
		return nil
	}
	catalog, err := op.Releases.Catalog(ctx)
	if err != nil {
		return fmt.Errorf("read what releases there are: %w", err)
	}
	found, ok := catalog.Find(next.Version, next.Edition, next.Arch)
	if !ok {
		return problem.List{{Where: "release " + next.Version.String(), Found: "the vendor lists it no more", Allowed: "the version of the backup, with a checksum and a signature",
			Hint: "name another backup: upgrade backup list …"}}
	}
	*next = *found
	return nil
}

// restoreReady looks for everything that stands in the way, all at once.
type restoreReady struct{}

func (restoreReady) Title() string { return "check that it can be done" }

func (restoreReady) Run(ctx context.Context, op *Operation) error {
	f, m := op.Facts, op.restore.Manifest
	var found problem.List
	add := func(where, what, allowed, hint string) {
		found = append(found, problem.Problem{Where: where, Found: what, Allowed: allowed, Hint: hint})
	}
	if f.Plain {
		add(f.Link, "a directory that was made by hand", "nothing, or an installation that upgrade made",
			"sudo systemctl stop "+f.Unit.Name+" && sudo mv "+f.Link+" "+f.Link+".before")
	}
	if f.Schema.Server < m.PostgreSQL {
		add("PostgreSQL", fmt.Sprint(f.Schema.Server), fmt.Sprintf("%d or newer: the backup is of that", m.PostgreSQL), "")
	}
	list, err := checkReturning(ctx, op, state.Database{})
	if err != nil {
		return err
	}
	found = append(found, list...)
	if err := f.Database.Fits(ctx, m.Rows); err != nil {
		add("database "+f.Database.Name, err.Error(), "the schema of the backup", showSchemas(f.Database))
	}
	var full []string
	if f.Installed() {
		full = append(full, "Mattermost "+f.Version.String())
	}
	if !f.Schema.Empty() {
		full = append(full, "a database in use")
	}
	r := &room{}
	planned, refused := exchanges(op, "")
	found = append(found, refused...)
	for _, e := range planned {
		if mountPoint(e.Path) {
			add(e.Path, "the root of a file system", "a directory that can be renamed", "mount it one level up")
		}
		if !vacant(e.Path) && !f.Installed() {
			full = append(full, e.Path)
		}
	}
	if len(full) > 0 && !op.Replace {
		add("this server", "not empty: "+strings.Join(full, ", "), "an empty one, or --replace: the current database and files are kept, and rolled back to if the restore fails",
			"upgrade restore "+op.restore.ID+" --replace …")
	}
	if dir := mattermost.VersionDir(f.Link, op.Choice.Next.Dir()); !release.IsComplete(dir) {
		r.need(dir, unpackedBytes, unpackedInodes, "the release")
		r.need(state.Dir, unpackedBytes/4, 0, "its archive")
	}
	if err := needFiles(ctx, op, r, planned); err != nil {
		return err
	}
	if list, err = checkRestorable(ctx, op, r); err != nil {
		return err
	}
	found = append(found, list...)
	short, err := r.problems(space)
	if err != nil {
		return err
	}
	return append(found, short...).Err()
}

// checkRestorable finds what stands in the way of the backup's database, and asks for its space.
func checkRestorable(ctx context.Context, op *Operation, r *room) (found problem.List, err error) {
	f := op.Facts
	admin, err := findAdmin(ctx, f.Database)
	switch {
	case errors.Is(err, mattermost.ErrNoAdmin) && !f.Schema.Empty():
		found = append(found, noAdmin(f, "in use, and no role here may make another", "a role that may make a database, so that the current one can be rolled back to"))
	case err != nil && !errors.Is(err, mattermost.ErrNoAdmin):
		return nil, err
	case err != nil: // the backup goes into the schema that is there
		there, err := f.Database.Occupants(ctx)
		if err != nil {
			return nil, err
		}
		if len(there) > 0 {
			found = append(found, noAdmin(f, "no role here may make another, and its schema holds "+strings.Join(there, ", "),
				"an empty schema, or a role that may make a database"))
		}
	case f.Database.Local():
		if data := admin.DataDirectory(ctx); data != "" {
			r.need(data, uint64(op.restore.Manifest.Bytes)*2+spareBytes, 0, "the database of the backup")
		}
	}
	return found, nil
}

// needFiles asks for the space of the files where they are restored to: beside each place.
func needFiles(ctx context.Context, op *Operation, r *room, list []state.Exchange) error {
	repo, err := openBackups(ctx, op)
	if err != nil {
		return err
	}
	places, err := repo.Weigh(ctx, *op.restore)
	if err != nil {
		return err
	}
	needPlaces(r, list, places)
	return nil
}

func needPlaces(r *room, list []state.Exchange, places []backup.Place) {
	spared := map[string]bool{}
	for i, e := range list {
		bytes, dir := uint64(places[i].Bytes), stagingOf(e)
		if !spared[dir] {
			bytes += spareBytes
		}
		spared[dir] = true
		r.need(dir, bytes, uint64(places[i].Files), "the backup's "+places[i].Name)
	}
}

// vacant says that nothing is lost where something takes the place of path.
func vacant(path string) bool {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return err == nil && info.IsDir() && mattermost.Vacant(path)
}

// stagingPrefix begins the name of the directory, beside the place they go to, that restored files
// wait in: on the same file system, so that they are renamed.
const stagingPrefix = ".townsquare-restore-"

// keptName is the directory, in the one that they wait in, that gets what the restored files replace.
const keptName = "before"

// exchanges says what of the backup goes where on this host. What stands under a name is replaced
// where it really is: an administrator may have moved it to another disk. The service's user could
// make such a link, too, so that one to what is not that user's is refused.
func exchanges(op *Operation, run string) (list []state.Exchange, refused problem.List) {
	f := op.Facts
	for _, p := range op.restore.Manifest.Places {
		path := p.Path // of what is outside the install directory
		switch {
		case p.Name == "config.json":
			path = f.Config.Path
		case p.Name != "files":
			path = placeOf(op, p)
		}
		real := settled(path)
		if why := foreign(f, p, path, real); why != nil {
			refused = append(refused, *why)
		}
		path = real
		beside := filepath.Dir(path)
		if root := mattermost.Root(f.Link); below(path, f.Dir) && below(f.Dir, root) {
			beside = root // what is kept in the version's directory would be taken for something that was added
		}
		staging := filepath.Join(beside, stagingPrefix+run)
		list = append(list, state.Exchange{Path: path, Staged: filepath.Join(staging, p.Path),
			Kept: filepath.Join(staging, keptName, strings.ReplaceAll(p.Name, "/", "-")), Fresh: vacant(path)})
	}
	return list, refused
}

// settled is path without links, as far as it exists.
func settled(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err == nil || path == filepath.Dir(path) {
		return cmp.Or(real, path)
	}
	return filepath.Join(settled(filepath.Dir(path)), filepath.Base(path))
}

// placeOf is where the installation has, or will have, a place of the backup.
func placeOf(op *Operation, p backup.Place) string {
	f := op.Facts
	i := slices.IndexFunc(f.Places, func(q mattermost.Place) bool { return q.Name == p.Name })
	switch {
	case i < 0:
		return filepath.Join(mattermost.Root(f.Link), "custom", p.Name)
	case f.Places[i].Move && sameVersion(op):
		return filepath.Join(f.Dir, p.Name)
	case filepath.IsAbs(f.Places[i].Target):
		return f.Places[i].Target
	}
	return filepath.Join(f.Dir, filepath.Dir(p.Name), f.Places[i].Target) // of a link in there
}

// sameVersion says that the version of the backup is the one that serves, so that its directory is
// in use.
func sameVersion(op *Operation) bool {
	return op.Facts.Dir != "" && op.Facts.Dir == mattermost.VersionDir(op.Facts.Link, op.Choice.Next.Dir())
}

// beginRestore takes the host.
type beginRestore struct{}

func (beginRestore) Title() string { return "lock the host" }

func (beginRestore) Run(ctx context.Context, op *Operation) error {
	f, next := op.Facts, op.Choice.Next
	run := state.Run{To: next.Version.String(), Edition: string(next.Edition), Unit: f.Unit.Name, Link: f.Link, OldTarget: f.OldTarget,
		NewTarget: mattermost.VersionDir(f.Link, next.Dir()), Address: f.Health.URL, ServerName: f.Health.ServerName, Port: f.Port,
		Backup: op.restore.ID}
	if f.Installed() {
		run.From = f.Version.String()
	}
	if err := anchor(ctx, &run, f); err != nil {
		return err
	}
	// What someone added since, and the backup does not know, goes along.
	for _, p := range f.Places {
		if p.Custom && p.Move && !sameVersion(op) && !inBackup(op, p.Name) {
			run.Moves = append(run.Moves, state.Move{From: filepath.Join(f.Dir, p.Name), To: p.Target})
		}
	}
	return op.Acquire(ctx, run)
}

func inBackup(op *Operation, name string) bool {
	return slices.ContainsFunc(op.restore.Manifest.Places, func(p backup.Place) bool { return p.Name == name })
}

// reinstall brings the version of the backup, verified as at its first installation.
type reinstall struct{}

func (reinstall) Title() string { return "download and unpack" }

func (reinstall) Run(ctx context.Context, op *Operation) error {
	run, next, f := op.Record.Run, *op.Choice.Next, op.Facts
	if release.IsComplete(run.NewTarget) {
		op.Note("%s is unpacked already", run.NewTarget)
	} else if err := unpack(ctx, op, next, f.Program(run.NewTarget)); err != nil {
		return err
	}
	var places []mattermost.Place
	for _, p := range f.Places {
		if !p.Move || !sameVersion(op) { // there it is what serves, not a link's target
			places = append(places, p)
		}
	}
	for _, p := range op.restore.Manifest.Places {
		if p.Custom && !slices.ContainsFunc(f.Places, func(q mattermost.Place) bool { return q.Name == p.Name }) {
			places = append(places, mattermost.Place{Name: p.Name, Target: placeOf(op, p), Custom: true})
		}
	}
	return furnish(ctx, op, places)
}
