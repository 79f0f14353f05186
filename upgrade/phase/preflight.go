package phase

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// What a release and its archive need on the disk, with room for releases to grow: 10.11 is 0.2 GB
// packed and 0.8 GB unpacked.
const (
	unpackedBytes  = 1500 << 20
	unpackedInodes = 20000
	spareBytes     = 256 << 20
)

// Preflight looks for everything that would stop the upgrade, and reports all of it at once. It
// changes nothing.
type Preflight struct{}

// Title says what a person reads.
func (Preflight) Title() string { return "check that it can be done" }

// Run returns a problem.List.
func (Preflight) Run(ctx context.Context, op *Operation) error {
	var found problem.List
	for _, check := range []func(context.Context, *Operation) (problem.List, error){
		checkSystem, checkVersion, checkSettings, checkPrograms, checkRoom, checkPlaces, checkOthers, checkService, checkDatabase, checkBackups,
	} {
		list, err := check(ctx, op)
		if err != nil {
			return err
		}
		found = append(found, list...)
	}
	return found.Err()
}

// checkVersion is about what the target demands of the host.
func checkVersion(ctx context.Context, op *Operation) (problem.List, error) {
	f, next := op.Facts, op.Choice.Next
	var found problem.List
	if next.Unusable != "" {
		found = append(found, problem.Problem{Where: "release " + next.Version.String(), Found: next.Unusable, Allowed: "a release that can be verified"})
	}
	if f.Installed() && f.Edition != next.Edition {
		found = append(found, problem.Problem{Where: "edition", Found: fmt.Sprintf("%s is installed, %s would be", f.Edition, next.Edition),
			Allowed: "the edition that is installed: the other hides messages"})
	}
	if least := release.PostgreSQLMinimum(next.Version); f.Schema.Server < least {
		found = append(found, problem.Problem{Where: "PostgreSQL", Found: strconv.Itoa(f.Schema.Server),
			Allowed: fmt.Sprintf("%d or newer, for Mattermost %s", least, next.Version),
			Hint:    "sudo apt install postgresql && man pg_upgradecluster"})
	}
	if major, minor := release.GlibcMinimum(next.Version); major > 0 {
		out, err := host.Run(ctx, host.Command{Name: "getconf", Args: []string{"GNU_LIBC_VERSION"}})
		if err != nil {
			return nil, err
		}
		have := strings.TrimSpace(strings.TrimPrefix(string(out), "glibc "))
		var a, b int
		if _, err := fmt.Sscanf(have, "%d.%d", &a, &b); err != nil || a < major || (a == major && b < minor) {
			found = append(found, problem.Problem{Where: "glibc", Found: have, Allowed: fmt.Sprintf("%d.%d or newer, for Mattermost %s", major, minor, next.Version),
				Hint: "upgrade the operating system first"})
		}
	}
	return found, nil
}

// checkSettings is about the configuration.
func checkSettings(_ context.Context, op *Operation) (problem.List, error) {
	f := op.Facts
	found := problem.List(release.CheckSettings(op.Choice.Next.Version, f.Config.Get))
	if f.Config.Bool("ClusterSettings.Enable") {
		found = append(found, problem.Problem{Where: "ClusterSettings.Enable", Found: "true", Allowed: "false: only installations on one host are upgraded"})
	}
	return found, nil
}

// checkPrograms is about what this host must have.
func checkPrograms(ctx context.Context, op *Operation) (problem.List, error) {
	f := op.Facts
	var found problem.List
	if _, err := exec.LookPath("nft"); err != nil {
		found = append(found, problem.Problem{Where: "nft", Found: "not installed", Allowed: "nftables, which keeps users away while the new version is verified",
			Hint: "sudo apt install nftables"})
	}
	if _, err := mattermost.FindTools(ctx, host.Run, f.Schema.Server); err != nil && !f.Schema.Empty() {
		found = append(found, problem.Problem{Where: "pg_dump", Found: err.Error(), Allowed: fmt.Sprintf("version %d or newer", f.Schema.Server),
			Hint: fmt.Sprintf("sudo apt install postgresql-client-%d", f.Schema.Server)})
	}
	if f.Plain {
		program := filepath.Join(f.Dir, "bin", "mattermost")
		if out, err := host.Run(ctx, host.Command{Name: "dpkg", Args: []string{"--search", program}}); err == nil {
			owner, _, _ := strings.Cut(string(out), ":")
			found = append(found, problem.Problem{Where: program, Found: "it belongs to the Debian package " + owner,
				Allowed: "an installation from the vendor's archive: apt would upgrade it as well",
				Hint:    disown(f, owner)})
		}
	}
	return found, nil
}

// checkRoom adds up what each file system must hold. Where a copy of the database cannot be made, or
// has no room, there must be some for a second dump.
func checkRoom(ctx context.Context, op *Operation) (problem.List, error) {
	f := op.Facts
	r := &room{}
	dir := mattermost.VersionDir(f.Link, op.Choice.Next.Dir())
	if !release.IsComplete(dir) {
		r.need(dir, unpackedBytes, unpackedInodes, "the new version")
		r.need(state.Dir, unpackedBytes/4, 0, "its archive")
	}
	r.need(state.Dir, uint64(f.Schema.Heap)+spareBytes, 0, "a dump of the database")
	if f.Schema.Empty() {
		return r.problems(space)
	}
	admin, why, err := noCopy(ctx, op)
	if err != nil {
		return nil, err
	}
	if why == "" && f.Database.Local() {
		whole := &room{needs: slices.Clone(r.needs)}
		if data := admin.DataDirectory(ctx); data != "" {
			whole.need(data, copyBytes(f.Schema), 0, "a copy of the database")
		}
		short, err := whole.problems(space)
		if err != nil || len(short) == 0 {
			return short, err
		}
		why = "there is no room for a copy of the database beside the rest"
	}
	if why != "" {
		op.dumps = why
		r.need(state.Dir, uint64(f.Schema.Heap), 0, "another dump, at the stop")
		cost, how := stopCost(op.Record, f.Schema.Heap)
		op.Warn("%s: if it must be kept at the stop, it is dumped, which adds about %s of downtime (%s)", why, printable.Duration(cost), how)
	}
	return r.problems(space)
}

// checkPlaces is about what is moved out of the install directory: renamed, never copied.
func checkPlaces(_ context.Context, op *Operation) (problem.List, error) {
	f := op.Facts
	var found problem.List
	var shut []string // directories that the unit's sandbox keeps from being written to
	if f.Plain && mountPoint(f.Dir) {
		found = append(found, problem.Problem{Where: f.Dir, Found: "it is the root of a file system", Allowed: "a directory that can be renamed",
			Hint: "mount it elsewhere and leave a link at " + f.Dir})
	}
	if kept := adoptedDir(f); f.Plain && !mattermost.Vacant(kept) {
		found = append(found, problem.Problem{Where: kept, Found: "something is there already", Allowed: "nothing, as " + f.Dir + " is kept there",
			Hint: "sudo mv " + kept + " " + kept + ".older"})
	}
	for _, p := range f.Places {
		path := filepath.Join(f.Dir, p.Name)
		if p.Move && !mattermost.Vacant(p.Target) {
			found = append(found, problem.Problem{Where: p.Target, Found: "something is there already", Allowed: "nothing, as " + path + " goes there",
				Hint: "sudo ls -la " + p.Target})
		}
		if p.Move && mountPoint(path) {
			found = append(found, problem.Problem{Where: path, Found: "a file system is mounted there", Allowed: "a directory, or a link to where it is mounted",
				Hint: "mount it elsewhere, such as /srv/mattermost, and leave a link at " + path})
		}
		if dir := filepath.Dir(p.Target); !p.Custom && filepath.IsAbs(p.Target) && !f.Unit.MayWrite(p.Target) && !slices.Contains(shut, dir) {
			shut = append(shut, dir)
		}
	}
	return append(found, mayNotWrite(f.Unit.Name, shut)...), nil
}

// mayNotWrite is the problem of a sandboxed unit that may not write to dirs, where the server's state will be.
func mayNotWrite(unit string, dirs []string) problem.List {
	if len(dirs) == 0 {
		return nil
	}
	// The minus is for a start before the upgrade made the directory: without it that start fails (226/NAMESPACE).
	dropIn := "/etc/systemd/system/" + unit + ".d"
	return problem.List{{Where: unit + ": ReadWritePaths", Found: strings.Join(dirs, ", ") + " may not be written to",
		Allowed: "the places where the server's state will be",
		Hint: "sudo install -d " + dropIn + " && printf '[Service]\\nReadWritePaths=-" + strings.Join(dirs, " -") + "\\n' | sudo tee " +
			dropIn + "/townsquare.conf && sudo systemctl daemon-reload"}}
}

// checkService is about the server that runs now.
func checkService(ctx context.Context, op *Operation) (problem.List, error) {
	f := op.Facts
	st, err := f.Service().Status(ctx)
	if err != nil {
		return nil, err
	}
	if st.Off() {
		// Nobody of ours listens: so nobody may.
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.Port)))
		if err != nil {
			return problem.List{{Where: fmt.Sprintf("port %d", f.Port), Found: "another program listens there", Allowed: "a free port",
				Hint: fmt.Sprintf("sudo ss -tlnp 'sport = :%d'", f.Port)}}, nil
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		switch {
		case f.Installed() && st.Active == "failed":
			op.Warn("%s does not run now, as it failed; if the upgrade fails it will be left as it is", f.Unit.Name)
		case f.Installed():
			op.Warn("%s does not run now: it is started for the upgrade, and stopped again at its end", f.Unit.Name)
		}
		return checkServing(ctx, op)
	}
	if err := wellSoon(ctx, f.Health); err != nil && f.Installed() {
		return problem.List{{Where: f.Unit.Name, Found: fmt.Sprintf("it runs and is not well: %v", err),
			Allowed: "a server that answers, or one that is stopped: how else would one know that the way back works",
			Hint:    "journalctl -u " + f.Unit.Name + " -n 50"}}, nil
	}
	return checkServing(ctx, op)
}

// wellSoon asks three times: one slow answer is no illness.
func wellSoon(ctx context.Context, h mattermost.Health) error {
	var err error
	for range 3 {
		if _, err = h.Ping(ctx); err == nil {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return err
}

// maxSkew is how far this host's clock may be from its database's.
const maxSkew = 2 * time.Minute

// checkDatabase is about privileges, and about the time, by which Written tells what came after.
func checkDatabase(ctx context.Context, op *Operation) (problem.List, error) {
	f, db := op.Facts, op.Facts.Database
	var found problem.List
	switch {
	case f.Schema.Name == "":
		return problem.List{{Where: "database " + db.Name + " on " + db.Host, Found: fmt.Sprintf("no schema for the tables of role %s: its search_path is %s", db.Role, f.Schema.SearchPath),
			Allowed: "a search_path with a schema that is there", Hint: showSchemas(db)}}, nil
	case f.Installed() && f.Schema.Empty():
		// Else the new version would start on it, and everybody's posts would seem to be gone.
		found = append(found, problem.Problem{Where: "database " + db.Name + " on " + db.Host, Found: fmt.Sprintf("its schema %s is empty, and Mattermost is installed", f.Schema.Name),
			Allowed: "the database that the installation uses", Hint: "sudo systemctl show --property=Environment,EnvironmentFiles " + f.Unit.Name})
	case !f.Installed() && !f.Schema.Empty() && f.Last == "":
		found = append(found, problem.Problem{Where: "database " + db.Name + " on " + db.Host, Found: "used by a Mattermost whose version nobody noted",
			Allowed: "an empty database, or a note of the version that used it last",
			Hint:    "echo '9.10.0 team' | sudo tee " + mattermost.StateRoot + "/.version    # the version and edition that it was"})
	}
	skew, err := db.ClockSkew(ctx)
	if err != nil {
		return nil, err
	}
	if skew.Abs() > maxSkew {
		found = append(found, problem.Problem{Where: "clock", Found: fmt.Sprintf("%s off the database's", printable.Duration(skew.Round(time.Second))),
			Allowed: "at most " + printable.Duration(maxSkew), Hint: "timedatectl status"})
	}
	may, err := db.MayCreate(ctx)
	if err != nil {
		return nil, err
	}
	if !may {
		url, err := adminURL()
		if err != nil {
			return nil, err
		}
		if url == "" {
			found = append(found, problem.Problem{Where: "database " + db.Name, Found: fmt.Sprintf("role %s may not create tables in it", db.Role),
				Allowed: "the application's role as owner of its database",
				Hint:    fmt.Sprintf(`psql -c 'alter database %s owner to %s'    # as the database's administrator`, db.Name, db.Role)})
		}
	}
	return found, nil
}
