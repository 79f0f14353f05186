package mattermost

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/problem"
)

// Claim is what is believed of a service: that its unit starts the server in Dir, and that this server
// uses Config and Database.
type Claim struct {
	Unit     *Unit
	Dir      string // the install directory, without links
	Config   *Config
	Database *Database
	Run      Runner // nil means host.Run
	Proc     Proc   // empty means /proc

	pause time.Duration // a test's own
}

// Evidence is what the running server shows of a Claim.
type Evidence struct {
	Server *Process     // nil: nothing runs, and nothing can be shown
	Wrong  problem.List // it is another program, or uses another configuration or database
	Unseen problem.List // none of its connections leads to the database, as far as can be seen
	Hidden []string     // names of settings in its environment that are not the unit's
}

// Claim is what Discover found.
func (i *Installation) Claim() Claim {
	return Claim{Unit: i.Unit, Dir: i.Dir, Config: i.Config, Database: i.Database}
}

// tries is how often, pause apart, the server and its connections are looked for: it may have closed
// those that were idle.
const (
	tries = 6
	pause = 500 * time.Millisecond
)

// insist calls look until it is done.
func (c Claim) insist(ctx context.Context, look func() (done bool, err error)) error {
	for range tries {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-time.After(cmp.Or(c.pause, pause)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Check compares the Claim with the server's process: its program, its command line, environment and
// working directory, and its connections as PostgreSQL shows them.
func (c Claim) Check(ctx context.Context) (Evidence, error) {
	var e Evidence
	proc := cmp.Or(c.Proc, procDir)
	var status Status
	var servers []Process
	err := c.insist(ctx, func() (done bool, err error) {
		if status, err = (Service{Unit: c.Unit.Name, Run: c.Run}).Status(ctx); err != nil {
			return false, err
		}
		if servers, err = proc.Servers(c.Dir); err != nil {
			return false, err
		}
		servers = slices.DeleteFunc(servers, func(p Process) bool { return p.Unit != c.Unit.Name })
		return len(servers) > 0 || status.PID == 0, nil // else it may be about to become the server
	})
	if err != nil {
		return e, err
	}
	program := filepath.Join(c.Dir, "bin", "mattermost")
	wrong := func(where, found, allowed, hint string) {
		e.Wrong = append(e.Wrong, problem.Problem{Where: where, Found: found, Allowed: allowed, Hint: hint})
	}
	switch {
	case len(servers) == 0 && status.PID == 0:
		return e, nil
	case len(servers) == 0:
		wrong(c.Unit.Name, "it runs, and none of its processes is "+program, "a service that runs "+program,
			"systemctl status "+c.Unit.Name)
		return e, nil
	case len(servers) > 1:
		wrong(c.Unit.Name, fmt.Sprintf("it runs %d servers", len(servers)), "one", "systemctl status "+c.Unit.Name)
		return e, nil
	}
	p := &servers[0]
	e.Server = p
	env := settingsIn(p.Env)
	e.Hidden = c.hidden(env)

	const allowed = "one that the unit names as well: settings of a start script, or of an edited unit before its restart, are not seen here"
	hint := fmt.Sprintf("sudo systemctl edit %s    # [Service] Environment= or EnvironmentFile= instead of the start script's own settings; then restart it", c.Unit.Name)
	uses := configAt(&Unit{User: c.Unit.User, Args: p.Args, Env: p.Env}, p.Env, p.Dir, filepath.Dir(p.Exe))
	if !uses.like(c.Config) {
		wrong(p.String(), fmt.Sprintf("its configuration is %s, and the unit's is %s", uses.place(), c.Config.place()), allowed, hint)
		return e, nil
	}
	db, err := DatabaseOf(c.Unit, &Config{env: env, settings: c.Config.settings})
	if err != nil {
		wrong(p.String(), "its SqlSettings: "+err.Error(), "PostgreSQL", hint)
		return e, nil
	}
	if db.address() != c.Database.address() {
		wrong(p.String(), fmt.Sprintf("it uses the database %s, and the unit and %s name %s", db.address(), c.Config.place(), c.Database.address()), allowed, hint)
		return e, nil
	}
	return e, c.checkSessions(ctx, proc, &e)
}

// checkSessions looks for a connection of the server in the database.
func (c Claim) checkSessions(ctx context.Context, proc Proc, e *Evidence) error {
	var seen []string
	err := c.insist(ctx, func() (done bool, err error) {
		seen, err = c.Database.sessionsOf(ctx, proc, e.Server.PID)
		return slices.Contains(seen, c.Database.Name), err
	})
	if err != nil || slices.Contains(seen, c.Database.Name) {
		return err
	}
	where := "database " + c.Database.address().String()
	allowed := "the database that the running server uses"
	hint := "sudo systemctl show --property=Environment,EnvironmentFiles " + c.Unit.Name
	if c.Database.Local() {
		hint = `sudo -u postgres psql -c "select datname, usename, client_port, application_name from pg_stat_activity"`
	}
	found := e.Server.String() + " has no connection to it"
	if len(seen) > 0 {
		found += "; it uses " + strings.Join(seen, " and ")
	}
	if at := c.edited(e.Server.Started); !at.IsZero() {
		found += fmt.Sprintf("; %s was changed at %s, and the server has run since %s", c.Config.Path,
			at.Local().Format(time.DateTime), e.Server.Started.Local().Format(time.DateTime))
	}
	list := problem.List{{Where: where, Found: found, Allowed: allowed, Hint: hint}}
	if len(seen) > 0 {
		e.Wrong = list
	} else {
		e.Unseen = list
	}
	return nil
}

// hidden names the settings that the server's environment has otherwise than the unit's.
func (c Claim) hidden(env map[string]string) []string {
	var names []string
	for name, value := range env {
		if known, ok := c.Config.env[name]; strings.HasPrefix(name, "MM_") && (!ok || known != value) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// edited is when the configuration's file was written after since; zero when it was not. The server
// itself writes it at its start and whenever a setting is changed.
func (c Claim) edited(since time.Time) time.Time {
	info, err := os.Stat(c.Config.Path)
	if c.Config.InDatabase || err != nil || !info.ModTime().After(since) {
		return time.Time{}
	}
	return info.ModTime()
}

// like reports whether both are one configuration.
func (c *Config) like(other *Config) bool {
	if c.InDatabase != other.InDatabase {
		return false
	}
	if !c.InDatabase {
		return sameFile(c.Path, other.Path)
	}
	a, errA := ParseDSN(c.source, "")
	b, errB := ParseDSN(other.source, "")
	return c.source == other.source || errA == nil && errB == nil && a.address() == b.address()
}

// place is where the configuration is, without the password of a database.
func (c *Config) place() string {
	if !c.InDatabase {
		return c.Path
	}
	if db, err := ParseDSN(c.source, ""); err == nil {
		return "in the database " + db.address().String()
	}
	return c.where()
}
