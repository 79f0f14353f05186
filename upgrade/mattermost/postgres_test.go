package mattermost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
)

// server is a PostgreSQL of our own that listens on a Unix socket in a directory of the test.
type server struct {
	dir    string
	runner Runner
	tools  Tools
}

// startPostgres runs a server until the test is over. PostgreSQL refuses to run as root: then it
// runs as nobody.
func startPostgres(t *testing.T) *server {
	t.Helper()
	// The path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{dir: dir, runner: host.Run}
	var attr *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		uid, gid, err := ids("nobody")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(serverProgram(t, "initdb"), "--pgdata="+data, "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--no-locale")
	initdb.Dir, initdb.SysProcAttr = dir, attr
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := exec.Command(serverProgram(t, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "autovacuum=off")
	server.Dir, server.SysProcAttr = dir, attr
	log := new(strings.Builder)
	server.Stderr = log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		_ = server.Wait()
	})
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := s.as(t, "postgres", "postgres").Connect(t.Context())
		if err == nil {
			var version int
			if err := conn.QueryRow(t.Context(), "select current_setting('server_version_num')::int / 10000").Scan(&version); err != nil {
				t.Fatal(err)
			}
			conn.Close(t.Context())
			if s.tools, err = FindTools(t.Context(), host.Run, version); err != nil {
				t.Fatal(err)
			}
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("postgres does not start: %v\n%s", err, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// serverProgram finds a program of PostgreSQL's server where PATH or Debian has it.
func serverProgram(t *testing.T, name string) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(debianTools, "*", "bin", name))
	sort.Strings(found)
	if len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test needs a PostgreSQL server: apt-get install postgresql (%v)", err)
	}
	return path
}

func (s *server) as(t *testing.T, role, database string) *Database {
	t.Helper()
	d, err := ParseDSN(fmt.Sprintf("postgres:///%s?host=%s&user=%s&binary_parameters=yes", database, s.dir, role), "")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sql runs statements, one by one.
func (d *Database) sql(t *testing.T, statements ...string) {
	t.Helper()
	conn, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// one is the only value of a query, as text.
func (d *Database) one(t *testing.T, query string) string {
	t.Helper()
	conn, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value string
	if err := conn.QueryRow(t.Context(), query, pgx.QueryExecModeSimpleProtocol).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// fill makes a small Mattermost's database, as its owner.
func fill(t *testing.T, d *Database) {
	t.Helper()
	d.sql(t,
		"create type channel_type as enum ('O', 'P')",
		"create table db_migrations (version bigint primary key, name text)",
		"insert into db_migrations select n, 'm' || n from generate_series(1, 100) n",
		"create table db_lock (id text primary key, expireat bigint)",
		"create table posts (id serial primary key, message text, updateat bigint, channel channel_type)",
		`insert into posts (message, updateat, channel) select 'line 1' || chr(10) || 'COPY public.posts (id) FROM stdin;' || n, 1000, 'O' from generate_series(1, 500) n`,
		"create table users (id text primary key, updateat bigint)",
		"create table bots (userid text primary key)",
		"insert into users values ('ada', 1000), ('robot', 1000)", "insert into bots values ('robot')",
		"create view recent as select * from posts where updateat > 0",
		"create function f() returns int language sql as 'select 1'",
		`create table "Odd Name" (a int)`, `insert into "Odd Name" values (1), (2)`)
}

// migrate does what a new version would.
func migrate(t *testing.T, d *Database) {
	t.Helper()
	d.sql(t, "insert into db_migrations values (101, 'm101')", "create table drafts (id int primary key)", "alter table posts rename column message to body",
		"insert into db_lock values ('mig', 1)")
}

func background(t *testing.T) (context.Context, func()) {
	t.Helper()
	return context.WithTimeout(t.Context(), 30*time.Second)
}
