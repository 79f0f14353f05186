// Package mattermost is what we know of Mattermost: where an installation keeps what, how its
// configuration reads, what its database holds, when it is healthy, and how its version is
// exchanged. It knows nothing of upgrades as a whole: the phases put these pieces together.
package mattermost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/untrusted"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
)

// Installation is what was found on a host. On a host that is ready for its first installation
// Version is zero and Dir is empty, and the rest says what is waiting for it.
type Installation struct {
	Version    release.Version
	Edition    release.Edition
	Link       string // the install path, such as /opt/mattermost
	Dir        string // the directory that it is or leads to
	Plain      bool   // a directory, made by hand: an upgrade adopts it
	OldTarget  string // what Link says when it is a link
	Unit       *Unit
	Config     *Config
	Database   *Database
	Schema     Schema
	Port       int
	Health     Health
	SiteURL    string
	Places     []Place
	Plugins    []Plugin
	Capability []byte // what setcap gave the program
	Last       string // version that this host's state was last used by, on a rebuilt host
}

// Installed says whether there is a version to upgrade from.
func (i *Installation) Installed() bool { return !i.Version.IsZero() }

// Custom are the names of what someone added to the install directory.
func (i *Installation) Custom() []string {
	var names []string
	for _, p := range i.Places {
		if p.Custom {
			names = append(names, p.Name)
		}
	}
	return names
}

// PluginDir is where the installation's plugins are now.
func (i *Installation) PluginDir() string {
	for _, p := range i.Places {
		if p.Name == "plugins" && !p.Move && filepath.IsAbs(p.Target) {
			return p.Target
		}
	}
	return filepath.Join(i.Dir, "plugins")
}

// FileStore is the directory of the uploaded files; empty when they are not on a disk of this host. Its
// name may be relative to the working directory of the service.
func (i *Installation) FileStore() string {
	if driver := i.Config.String("FileSettings.DriverName"); driver != "" && driver != "local" {
		return ""
	}
	dir := i.Config.String("FileSettings.Directory")
	if dir == "" {
		dir = "data"
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(i.Unit.workDir(i.Dir), dir)
	}
	return dir
}

// Service is the installation's service.
func (i *Installation) Service() Service { return Service{Unit: i.Unit.Name} }

// Program is the server program in dir, run with this installation's environment.
func (i *Installation) Program(dir string) Program {
	p := Program{Dir: dir, User: i.Unit.User, Env: i.Unit.Environ()}
	if i.Config != nil && !i.Config.InDatabase && i.Config.Exists {
		p.Config = i.Config.Path
	}
	return p
}

// Discovery finds an installation.
type Discovery struct {
	Link string // empty: where the unit's program is, else DefaultLink
	Unit string // empty: found by systemd
	Run  Runner // nil means host.Run
}

// Discover looks at the host and changes nothing. What stands in the way of knowing is a
// problem.List; every other error is one of looking.
func Discover(ctx context.Context, d Discovery) (*Installation, error) {
	if d.Run == nil {
		d.Run = host.Run
	}
	link := d.Link
	if link == "" {
		link = DefaultLink
	}
	unit, err := FindUnit(ctx, d.Run, d.Unit, link)
	if errors.Is(err, ErrNoUnit) {
		return nil, problem.List{{Where: "systemd", Found: err.Error(), Allowed: "a service that runs " + link + "/bin/mattermost",
			Hint: "sudo systemctl daemon-reload && systemctl status mattermost.service"}}
	}
	if err != nil {
		return nil, err
	}
	if dir := unit.tree(); d.Link == "" && dir != "" {
		link = dir
	}
	i := &Installation{Link: link, Unit: unit}
	if err := i.findDir(); err != nil {
		return nil, err
	}
	if i.Dir == "" {
		err = i.awaitFirst()
	} else {
		err = i.findProgram(ctx, d.Run)
	}
	if err != nil {
		return nil, err
	}
	if err := i.findConfig(ctx); err != nil {
		return nil, err
	}
	return i, i.findDatabase(ctx)
}

func (i *Installation) findDir() error {
	info, err := os.Lstat(i.Link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if i.OldTarget, err = os.Readlink(i.Link); err != nil {
			return err
		}
		if i.Dir, err = filepath.EvalSymlinks(i.Link); err != nil {
			return problem.List{{Where: i.Link, Found: "a link to " + i.OldTarget + ", which is not there", Allowed: "a link to an installed version",
				Hint: "sudo ls -l " + i.Link + " " + filepath.Join(Root(i.Link), "versions")}}
		}
	} else {
		i.Dir, i.Plain = i.Link, true
	}
	if _, err := os.Stat(filepath.Join(i.Dir, "bin", "mattermost")); err != nil {
		if entries, _ := os.ReadDir(i.Dir); i.Plain && len(entries) == 0 {
			i.Dir, i.Plain = "", false // an empty directory: findDir's caller treats it as nothing
			return nil
		}
		return problem.List{{Where: i.Dir, Found: "no bin/mattermost in it", Allowed: "an installation of Mattermost, or nothing at all",
			Hint: "sudo ls -la " + i.Dir}}
	}
	return nil
}

// awaitFirst describes the installation that is to come.
func (i *Installation) awaitFirst() error {
	var data []byte
	err := untrusted.As(i.Unit.User, func() (err error) {
		data, err = untrusted.ReadFile(lastPath(), 1<<10)
		return err
	})
	if err == nil {
		last, edition, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
		i.Last, i.Edition = last, release.Edition(edition)
	}
	i.Places, err = statePlaces(i.Link, "")
	return err
}

// lastPath is a note beside the server's state of the version that used it last: it survives where
// the host was rebuilt around a volume.
func lastPath() string { return filepath.Join(StateRoot, ".version") }

// NoteVersion keeps version and edition beside the state, if it is in StateRoot.
func NoteVersion(version, edition string) error {
	dir, err := untrusted.OpenDir(StateRoot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	// A rename: the directory is the service's, which may have made a link of that name.
	return renameio.WriteFile(filepath.Base(lastPath()), []byte(version+" "+edition+"\n"), 0o644, renameio.WithRoot(dir))
}

func (i *Installation) findProgram(ctx context.Context, run Runner) error {
	program := Program{Dir: i.Dir, User: i.Unit.User, Env: i.Unit.Environ(), Run: run}
	build, err := program.Version(ctx)
	if err != nil {
		return err
	}
	if i.Version, err = release.Parse(build.Number); err != nil {
		return problem.List{{Where: filepath.Join(i.Dir, "bin", "mattermost"), Found: "a build numbered " + build.Number,
			Allowed: "a release of Mattermost, such as 10.11.4"}}
	}
	i.Edition = release.Team
	if build.Enterprise {
		i.Edition = release.Enterprise
	}
	i.Capability = Capability(filepath.Join(i.Dir, "bin", "mattermost"))
	if i.Places, err = statePlaces(i.Link, i.Dir); err != nil {
		return err
	}
	var manifest *release.Manifest
	if release.IsComplete(i.Dir) {
		if manifest, err = release.LoadManifest(i.Dir); err != nil {
			return err
		}
	}
	custom, err := customPlaces(i.Link, i.Dir, manifest)
	i.Places = append(i.Places, custom...)
	return err
}

func (i *Installation) findConfig(ctx context.Context) error {
	dir := i.Dir
	if dir == "" {
		dir = StateRoot
	}
	if i.Config = findConfig(i.Unit, dir); i.Dir == "" { // it is not there yet, and will work where it is
		i.Config = configAt(i.Unit, i.Unit.Env, dir, filepath.Join(dir, "bin"))
	}
	err := i.Config.load(ctx, i.Unit)
	if err != nil {
		return problem.List{{Where: i.Config.where(), Found: err.Error(), Allowed: "a configuration that the server can read",
			Hint: "sudo python3 -m json.tool " + i.Config.Path}}
	}
	if i.Installed() && !i.Config.Exists {
		return problem.List{{Where: i.Config.Path, Found: "no configuration there", Allowed: "the config.json that the service uses",
			Hint: "systemctl cat " + i.Unit.Name}}
	}
	if i.Port, i.Health, err = i.Config.listen(); err != nil {
		return problem.List{{Where: i.Config.where(), Found: err.Error(), Allowed: "an address such as 127.0.0.1:8065"}}
	}
	i.SiteURL = i.Config.String("ServiceSettings.SiteURL")
	if i.Dir != "" {
		i.Plugins, err = i.Config.ListPlugins(i.PluginDir())
	}
	return err
}

func (i *Installation) findDatabase(ctx context.Context) error {
	var err error
	i.Database, err = DatabaseOf(i.Unit, i.Config)
	if err != nil {
		return problem.List{{Where: i.Config.where() + ": SqlSettings", Found: err.Error(), Allowed: "PostgreSQL"}}
	}
	if i.Schema, err = i.Database.Inspect(ctx); err != nil {
		return problem.List{{Where: "database " + i.Database.Name, Found: err.Error(), Allowed: "a database that answers",
			Hint: i.Database.hint(i.Unit.Name)}}
	}
	return nil
}

// DatabaseOf is the database that the configuration names. MySQL is refused: the vendor ended its
// support with 11.0, and nothing here could put it back.
func DatabaseOf(u *Unit, c *Config) (*Database, error) {
	if driver := c.String("SqlSettings.DriverName"); driver != "" && driver != "postgres" {
		return nil, fmt.Errorf("%w: the driver is %s, which Mattermost no longer supports since 11.0; move to PostgreSQL first: "+
			"https://docs.mattermost.com/deployment-guide/postgres-migration.html", ErrNotPostgres, driver)
	}
	dsn := c.String("SqlSettings.DataSource")
	if dsn == "" {
		return nil, errors.New("SqlSettings.DataSource is not set, neither in the configuration nor as MM_SQLSETTINGS_DATASOURCE")
	}
	return ParseDSN(dsn, u.User)
}

// Anchor is what a run's record keeps of where its service finds its database.
type Anchor struct {
	Unit       string
	Link       string
	ConfigPath string
	ConfigCopy string // as it was at the stop: the server may have rewritten its own
	Database   Identity
}

// Reopen finds the database of Discover again, from the record of a run: for everything that is undone.
// The error is an ErrOtherDatabase where it is not the one that the run began on.
func Reopen(ctx context.Context, run Runner, a Anchor) (Claim, error) {
	if run == nil {
		run = host.Run
	}
	c := Claim{Dir: a.Link, Run: run}
	var err error
	if c.Unit, err = FindUnit(ctx, run, a.Unit, a.Link); err != nil {
		return c, err
	}
	if dir, err := filepath.EvalSymlinks(a.Link); err == nil {
		c.Dir = dir
	}
	c.Config = findConfig(c.Unit, c.Dir)
	if a.ConfigPath != "" {
		c.Config = &Config{Path: a.ConfigPath, user: c.Unit.User, env: settingsIn(c.Unit.Env), settings: map[string]any{}}
	}
	read := c.Config
	if _, err := os.Stat(a.ConfigCopy); err == nil && a.ConfigCopy != "" {
		read = &Config{Path: a.ConfigCopy, env: c.Config.env, settings: c.Config.settings} // it lies where only root can go
	}
	if err = read.load(ctx, c.Unit); err == nil {
		c.Config.settings = read.settings
		c.Database, err = DatabaseOf(c.Unit, read)
	}
	if read.InDatabase && a.Database.Name != "" {
		// Its row may be away with the database that is undone, or be a backup's, with an older address or password.
		if db, e := ParseDSN(read.source, c.Unit.User); e == nil && db.address().Same(a.Database) {
			c.Database, err = db, nil
		}
	}
	if err != nil {
		return c, err
	}
	return c, c.Database.Confirm(ctx, a.Database)
}
