package mattermost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/pgtest"
)

// serving is a server that a test runs: psql, as bin/mattermost, holds its connection.
type serving struct {
	dir  string // the install directory
	cmd  *exec.Cmd
	proc Proc
}

// serve starts the server in dir with env, connected by the data source.
func serve(t *testing.T, tools Tools, dir, dsn string, env ...string) *serving {
	t.Helper()
	program := filepath.Join(dir, "bin", "mattermost")
	if _, err := os.Stat(program); err != nil {
		data, err := os.ReadFile(tools.path("psql"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	db, err := ParseDSN(dsn, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &serving{dir: dir, proc: procDir, cmd: exec.Command(program, "-Xqt")}
	s.cmd.Dir = dir
	s.cmd.Env = append(append(append(os.Environ(), db.env...), "PGAPPNAME=mattermost"), env...)
	input, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	fmt.Fprintln(input, "select 'connected';")
	if _, err := output.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	return s
}

// claim is what is believed of it: that its unit has env, and its configuration names the data source.
func (s *serving) claim(t *testing.T, dsn string, env map[string]string) Claim {
	t.Helper()
	unit, err := s.proc.unit(s.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "config", "config.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`{"SqlSettings": {"DriverName": "postgres", "DataSource": "`+dsn+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Claim{Unit: &Unit{Name: unit, Env: env}, Dir: s.dir, Proc: s.proc, pause: time.Millisecond,
		Run: func(context.Context, host.Command) ([]byte, error) {
			return []byte("ActiveState=active\nMainPID=" + strconv.Itoa(s.cmd.Process.Pid) + "\n"), nil
		}}
	c.Config = findConfig(c.Unit, s.dir)
	if err := c.Config.load(t.Context(), c.Unit); err != nil {
		t.Fatal(err)
	}
	if c.Database, err = DatabaseOf(c.Unit, c.Config); err != nil {
		t.Fatal(err)
	}
	return c
}

// shows wants the evidence to have all of the words, or without any to be that all is as believed.
func (c Claim) shows(t *testing.T, words ...string) {
	t.Helper()
	e, err := c.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := append(e.Wrong, e.Unseen...)
	if len(words) == 0 && len(found) > 0 || e.Server == nil {
		t.Errorf("server %v, found %v", e.Server, found)
	}
	for _, w := range words {
		if !strings.Contains(found.Error(), w) {
			t.Errorf("found %q, without %q", found, w)
		}
	}
}

// TestClaim compares what the unit and the configuration say with a process that is connected to a
// database. Each refusal is a server on which the wrong database would be saved.
func TestClaim(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	socket, major := pgtest.Start(t, "listen_addresses=127.0.0.1", fmt.Sprintf("port=%d", port))
	tools, err := FindTools(t.Context(), host.Run, major)
	if err != nil {
		t.Fatal(err)
	}
	bySocket := func(name string) string {
		return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s", socket, port, name)
	}
	byPort := func(name string) string {
		return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, name)
	}
	root, err := ParseDSN(bySocket("postgres"), "")
	if err != nil {
		t.Fatal(err)
	}
	root.sql(t, "create database live", "create database stale")

	for name, dsn := range map[string]func(string) string{"by a Unix socket": bySocket, "by TCP": byPort, "by a pooler": through(t, port)} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tools, t.TempDir(), dsn("live"))
			s.claim(t, dsn("live"), nil).shows(t)
			c := s.claim(t, dsn("stale"), nil)
			c.shows(t, "database stale on", "has no connection to it", "config.json was changed at")
			if name != "by a pooler" {
				c.shows(t, "it uses live")
			}
		})
	}
	t.Run("another server's connections", func(t *testing.T) {
		// Another process is connected to the stale database, as the same role.
		s, other := serve(t, tools, t.TempDir(), byPort("live")), serve(t, tools, t.TempDir(), byPort("stale"))
		s.claim(t, byPort("stale"), nil).shows(t, "it uses live")
		other.claim(t, byPort("stale"), nil).shows(t)
	})
	t.Run("a start script's environment", func(t *testing.T) {
		s := serve(t, tools, t.TempDir(), byPort("live"), "MM_SQLSETTINGS_DATASOURCE="+byPort("live"), "MM_FILESETTINGS_DIRECTORY=/srv")
		c := s.claim(t, byPort("stale"), nil)
		c.shows(t, "it uses the database live on 127.0.0.1", "name stale on 127.0.0.1")
		if e, err := c.Check(t.Context()); err != nil || strings.Join(e.Hidden, " ") != "MM_FILESETTINGS_DIRECTORY MM_SQLSETTINGS_DATASOURCE" {
			t.Errorf("hidden are %v (%v)", e.Hidden, err)
		}
		s.claim(t, byPort("stale"), map[string]string{"MM_SQLSETTINGS_DATASOURCE": byPort("live")}).shows(t)
	})
	t.Run("an edited unit", func(t *testing.T) {
		s := serve(t, tools, t.TempDir(), byPort("live"), "MM_SQLSETTINGS_DATASOURCE="+byPort("live"))
		s.claim(t, byPort("live"), map[string]string{"MM_SQLSETTINGS_DATASOURCE": byPort("stale")}).shows(t, "it uses the database live")
	})
	t.Run("a configuration that is elsewhere", func(t *testing.T) {
		s := serve(t, tools, t.TempDir(), byPort("live"), "MM_CONFIG=/srv/mm.json")
		s.claim(t, byPort("live"), nil).shows(t, "its configuration is /srv/mm.json", "config/config.json")
		s = serve(t, tools, t.TempDir(), byPort("live"), "MM_CONFIG=postgres://mm:secret@localhost/settings")
		c := s.claim(t, byPort("live"), nil)
		c.shows(t, "in the database settings on localhost")
		if e, err := c.Check(t.Context()); err != nil || strings.Contains(e.Wrong.Error(), "secret") {
			t.Errorf("%v, %v", e.Wrong, err)
		}
	})
	t.Run("another program", func(t *testing.T) {
		s := serve(t, tools, t.TempDir(), byPort("live"))
		c := s.claim(t, byPort("live"), nil)
		c.Dir = t.TempDir()
		e, err := c.Check(t.Context())
		if err != nil || !strings.Contains(e.Wrong.Error(), "none of its processes is "+c.Dir+"/bin/mattermost") {
			t.Errorf("%v, %v", e.Wrong, err)
		}
	})
	t.Run("a program that was replaced while it runs", func(t *testing.T) {
		s := serve(t, tools, t.TempDir(), byPort("live"))
		if err := os.Remove(filepath.Join(s.dir, "bin", "mattermost")); err != nil {
			t.Fatal(err)
		}
		s.claim(t, byPort("live"), nil).shows(t)
	})
	t.Run("nothing runs", func(t *testing.T) {
		s := serve(t, tools, t.TempDir(), byPort("live"))
		c := s.claim(t, byPort("stale"), nil)
		s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		c.Run = func(context.Context, host.Command) ([]byte, error) {
			return []byte("ActiveState=inactive\nMainPID=0\n"), nil
		}
		if e, err := c.Check(t.Context()); err != nil || e.Server != nil || len(e.Wrong)+len(e.Unseen) > 0 {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

// through makes data sources that lead through a process of its own, as a pooler is.
func through(t *testing.T, port int) func(string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); server.Close() }()
			go func() { _, _ = io.Copy(client, server); client.Close() }()
		}
	}()
	return func(name string) string {
		return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", listener.Addr(), name)
	}
}

func TestIdentity(t *testing.T) {
	a := Identity{Host: "db", Port: 5432, Name: "mm", System: "1"}
	for _, c := range []struct {
		b    Identity
		same bool
	}{
		{a, true},
		{Identity{}, true}, // an older record does not know
		{Identity{Host: "10.0.0.5", Port: 6432, Name: "mm", System: "1"}, true},
		{Identity{Host: "db", Port: 5432, Name: "mm", System: "2"}, true},
		{Identity{Host: "db", Port: 5432, Name: "mm2", System: "1"}, false},
		{Identity{Host: "10.0.0.5", Port: 5432, Name: "mm", System: "2"}, false},
		{Identity{Host: "10.0.0.5", Port: 5432, Name: "mm"}, false},
	} {
		if a.Same(c.b) != c.same || c.b.Same(a) != c.same {
			t.Errorf("%s and %s %q: same is not %v", a, c.b, c.b.System, c.same)
		}
	}
	s := startPostgres(t)
	db := s.as(t, "postgres", "postgres")
	id, err := db.Identify(t.Context())
	if err != nil || id.System == "" || id.Name != "postgres" {
		t.Fatalf("%+v, %v", id, err)
	}
	moved := id
	moved.Host = "before.example.org"
	other := id
	other.Name = "template1"
	if err := errors.Join(db.Confirm(t.Context(), id), db.Confirm(t.Context(), moved)); err != nil {
		t.Error(err)
	}
	if err := db.Confirm(t.Context(), other); !errors.Is(err, ErrOtherDatabase) {
		t.Errorf("got %v", err)
	}
}

// TestReopen: what is undone is the database of SqlSettings, wherever the configuration lives.
func TestReopen(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create database mm", "create database mmconfig")
	source := func(name string) string { return fmt.Sprintf("postgres:///%s?host=%s&user=postgres", name, s.dir) }
	config := s.as(t, "postgres", "mmconfig")
	config.sql(t, "create table configurations (value text, active bool)",
		`insert into configurations values ('{"SqlSettings": {"DataSource": "`+source("mm")+`"}}', true)`)
	unit := func(env string) Runner {
		return answers(t, "mm.service", shown("mm.service", "inactive", "/opt/mattermost/bin/mattermost", "Environment="+env))
	}
	id, err := s.as(t, "postgres", "mm").Identify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := Anchor{Unit: "mm.service", Link: t.TempDir(), Database: id}
	c, err := Reopen(t.Context(), unit("MM_CONFIG="+source("mmconfig")), a)
	if err != nil || c.Database.Name != "mm" {
		t.Errorf("a database for the configuration: %+v, %v", c.Database, err)
	}
	// In one database with everything else, and it is empty just now.
	c, err = Reopen(t.Context(), unit("MM_CONFIG="+source("mm")), a)
	if err != nil || c.Database.Name != "mm" {
		t.Errorf("one database, and it is empty: %+v, %v", c.Database, err)
	}
	if _, err = Reopen(t.Context(), unit("MM_SQLSETTINGS_DATASOURCE="+source("mmconfig")), a); !errors.Is(err, ErrOtherDatabase) {
		t.Errorf("another database: %v", err)
	}
	if _, err = Reopen(t.Context(), unit("MM_CONFIG="+source("nowhere")), a); err == nil {
		t.Errorf("no such database: %v", err)
	}
}
