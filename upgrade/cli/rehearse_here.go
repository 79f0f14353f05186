package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/host"
	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

const (
	rehearsalCloud = "rehearsal"                      // name of the local cloud
	rehearsalStack = "dev"                            // the stack that is this computer's
	rehearsalDir   = "/run/townsquare-rehearsal"      // secrets, while it lasts
	cloudsDir      = "/var/lib/townsquare-cloud"      // where local clouds have their disks
	rehearsalMark  = "made-by-rehearsal"              // in the directory of a cloud that may be removed unasked
	rehearsalLock  = "/run/townsquare-rehearsal.lock" // one at a time; stays
)

// original is what is rehearsed: a server by its backup, and where all that is needed of it is read.
type original struct {
	target   target
	snapshot backup.Snapshot
	hosts    []string // of the repository and of releases
}

// rehearseHere rehearses in a machine on this computer, which it makes for that and removes again,
// whatever happens. Of the server's it only reads the backup repository.
func (a *app) rehearseHere(ctx context.Context, o *rehearseOptions) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // also of a terminal that is closed
	defer stop()
	a.printer.Target = o.words()
	cloud, found := canRehearse(ctx)
	t, err := o.find(ctx, a)
	if err == nil {
		found = append(found, readable(t.delivery.Config)...)
	}
	if len(found) > 0 {
		return found
	}
	if err != nil {
		return err
	}
	letGo, err := holdRehearsal()
	if err != nil {
		return err
	}
	defer letGo()
	if found := foreign(filepath.Join(cloudsDir, rehearsalCloud)); len(found) > 0 {
		return found
	}
	if err := cloud.down(ctx); err != nil { // what one that was killed has left
		return err
	}
	defer func() {
		defer deafen()()
		a.printer.Busy("removing the machine")
		defer a.printer.Idle()
		if left := errors.Join(os.RemoveAll(rehearsalDir), cloud.down(context.WithoutCancel(ctx))); left != nil {
			a.printer.Say("Not all that was made for the rehearsal is removed: %v", left)
			a.printer.Hint("sudo " + cloud.program + " down --cloud " + rehearsalCloud + "; sudo rm -r " + rehearsalDir)
			err = errors.Join(err, left)
		}
	}()
	from, err := a.readOriginal(ctx, t)
	if err != nil {
		return err
	}
	s, err := a.makeCopy(ctx, cloud, o.project, from)
	if err != nil {
		return err
	}
	r := request{Operation: "restore", Who: who(), Options: phase.Options{Snapshot: from.snapshot.ID, Watch: time.Second}} // the copy has no users
	report, err := a.perform(ctx, s, r, func(plan phase.Preview) error { a.printer.Say("%s", plan.Why); return nil })
	if err != nil {
		return err
	}
	if report.Exit != phase.ExitDone {
		return errors.Join(a.printer.BackupReport(report), exitWith(report.Exit))
	}
	return a.rehearseOn(ctx, s, o)
}

// canRehearse looks at this computer.
func canRehearse(ctx context.Context) (*localCloud, problem.List) {
	if runtime.GOOS != "linux" {
		return nil, problem.List{{Where: "--here", Found: "a computer with " + runtime.GOOS, Allowed: "Debian", Hint: "on the server itself: leave --here out"}}
	}
	cloud, found := findLocalCloud(ctx, rehearsalCloud)
	if os.Geteuid() != 0 {
		found = append(found, problem.Problem{Where: "--here", Found: "not root", Allowed: "root, who may start machines", Hint: "sudo -E " + strings.Join(os.Args, " ")})
	}
	return cloud, found
}

// readable refuses a repository that a machine without a way out could not be let read.
func readable(c *state.Config) problem.List {
	p := problem.Problem{Where: "backup repository", Allowed: "an S3 store at https://host, as a stack with backups has",
		Hint: "rehearse on the server: leave --here out"}
	if c == nil || c.Backup.Repository == "" {
		p.Found = "none is named"
	} else if u, err := url.Parse(strings.TrimPrefix(c.Backup.Repository, "s3:")); err != nil || u.Scheme != "https" || u.Host == "" || u.Port() != "" {
		p.Found = c.Backup.Repository
	} else {
		return nil
	}
	return problem.List{p}
}

// holdRehearsal keeps a second rehearsal away until the function that it returns is called.
func holdRehearsal() (func(), error) {
	file, err := os.OpenFile(rehearsalLock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, &remoteError{text: "another rehearsal is at work on this computer", hint: "wait for it: flock " + rehearsalLock + " true", code: phase.ExitLocked}
	}
	return func() { file.Close() }, nil
}

// foreign refuses a local cloud that has the name of ours and that a person made.
func foreign(dir string) problem.List {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) || exists(filepath.Join(dir, rehearsalMark)) {
		return nil
	}
	return problem.List{{Where: "local cloud " + rehearsalCloud, Found: "there is one, which no rehearsal made", Allowed: "none of that name: it would be removed",
		Hint: "if nobody needs it: sudo localcloud down --cloud " + rehearsalCloud}}
}

// markOurs comes before anything else of the cloud. The mark goes with the cloud's directory.
func markOurs(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, rehearsalMark), nil, 0o600)
}

// readOriginal finds the newest backup, and looks whether this computer has room for it.
func (a *app) readOriginal(ctx context.Context, t target) (original, error) {
	a.printer.Busy("looking into the repository")
	defer a.printer.Idle()
	from, d := original{target: t}, t.delivery
	if err := errors.Join(os.RemoveAll(rehearsalDir), os.Mkdir(rehearsalDir, 0o700)); err != nil {
		return from, err
	}
	where := phase.BackupOptions(*d.Config)
	where.Dir, where.ReadOnly = rehearsalDir, true
	for path, secret := range map[*string]string{&where.Password: d.BackupPassword, &where.Credentials: d.BackupCredentials} {
		*path = filepath.Join(rehearsalDir, filepath.Base(*path))
		if err := os.WriteFile(*path, []byte(strings.TrimSpace(secret)+"\n"), 0o600); err != nil {
			return from, err
		}
	}
	repository, err := backup.Open(ctx, where)
	if err != nil {
		return from, err
	}
	if from.snapshot, err = repository.Find(ctx, "latest", phase.BackupSite(*d.Config, nil)); err != nil {
		return from, err
	}
	if err := from.fits(cloudsDir); err != nil {
		return from, err
	}
	sources := release.Sources(d.Config.Releases)
	catalog, err := (&release.Client{Sources: sources}).Catalog(ctx)
	if err != nil {
		return from, fmt.Errorf("read what releases there are: %w", err)
	}
	m := from.snapshot.Manifest.Release
	pages := []string{strings.TrimPrefix(d.Config.Backup.Repository, "s3:"), m.URL, m.SignatureURL,
		cmp.Or(sources.Archive, release.VendorArchive), cmp.Or(sources.Policy, release.VendorPolicy),
		cmp.Or(sources.GitHub, release.VendorGitHub), cmp.Or(sources.Key, release.VendorKey)}
	for _, r := range catalog.Releases {
		pages = append(pages, r.URL, r.SignatureURL)
	}
	for _, page := range pages {
		if u, err := url.Parse(page); err == nil && u.Host != "" {
			from.hosts = append(from.hosts, u.Hostname())
		}
	}
	slices.Sort(from.hosts)
	from.hosts = slices.Compact(from.hosts)
	return from, nil
}

// What a rehearsal takes: the database restored, and the two copies of it that are migrated and
// measured, each with its indexes twice as large as its dump; the files; and the machine itself with
// two releases.
func (o original) databaseBytes() int64 { return 3 * 2 * o.snapshot.Manifest.Bytes }
func (o original) fileBytes() int64     { return o.snapshot.Manifest.FileBytes }

const machineBytes = 4 << 30

// fits compares with what the file system of dir has left.
func (o original) fits(dir string) error {
	var fs syscall.Statfs_t
	err := syscall.Statfs(dir, &fs)
	if errors.Is(err, os.ErrNotExist) {
		err = syscall.Statfs(filepath.Dir(dir), &fs)
	}
	if err != nil {
		return fmt.Errorf("ask how much room %s has: %w", dir, err)
	}
	need, free := o.databaseBytes()+o.fileBytes()+machineBytes, int64(fs.Bavail*uint64(fs.Bsize))
	if free >= need {
		return nil
	}
	return problem.List{{Where: "disk of " + dir, Found: fmt.Sprintf("%d MB free", free>>20),
		Allowed: fmt.Sprintf("%d MB, for a machine with the backup in it", need>>20), Hint: "df -h " + dir}}
}

// makeCopy makes a machine as pulumi up makes the server, with nothing on it yet. It may read from
// the hosts that the original names, and knows what the server is told: but it tells nobody.
func (a *app) makeCopy(ctx context.Context, cloud *localCloud, project string, from original) (*session, error) {
	a.printer.Say("Making a machine on this computer (the first time parts of it are built, which takes minutes) …")
	a.printer.Busy("making a machine")
	defer a.printer.Idle()
	if err := markOurs(filepath.Join(cloudsDir, rehearsalCloud)); err != nil {
		return nil, err
	}
	if _, err := cloud.run(ctx, nil, "up", "--relay", strings.Join(from.hosts, ",")); err != nil {
		return nil, err
	}
	if _, err := cloud.run(ctx, nil, "pulumi", "up", "--project", project, "--stack", rehearsalStack, "--set", "townsquare:backups=false",
		"--set", gigabytes("volumeGB", from.fileBytes()), "--set", gigabytes("databaseVolumeGB", from.databaseBytes())); err != nil {
		return nil, err
	}
	data, err := cloud.run(ctx, nil, "pulumi", "outputs", "--project", project, "--stack", rehearsalStack, "--json", "--show-secrets")
	if err != nil {
		return nil, err
	}
	t := target{}
	if err := t.fromOutputs(rehearsalStack, data, a); err != nil {
		return nil, err
	}
	t.delivery = from.told(t)
	name, err := cloud.machine(ctx)
	if err != nil {
		return nil, err
	}
	build, err := hostBuild(ctx, runtime.GOARCH, a.printer.Say)
	if err != nil {
		return nil, err
	}
	way := inMachine{cloud, name}
	return &session{target: t, printer: a.printer, way: way, aside: true}, way.bring(ctx, build)
}

// told is what the machine t is told: all that the server is, but for the database, which is its own,
// and for what would make it act by itself.
func (o original) told(t target) (d host.Delivery) {
	config, off := *o.target.delivery.Config, false
	config.Backup.ReadOnly, config.Timers = true, &off
	d = o.target.delivery
	d.Config, d.Notify, d.Desired = &config, &notify.Config{}, nil
	d.DatabaseURL, d.AdminURL, d.CA = t.delivery.DatabaseURL, t.delivery.AdminURL, t.delivery.CA
	return d
}

// gigabytes is a volume of the stack for so many bytes; its file on this computer grows as it is filled.
func gigabytes(key string, bytes int64) string {
	return fmt.Sprintf("townsquare:%s=%d", key, 10+bytes*5/4>>30)
}
