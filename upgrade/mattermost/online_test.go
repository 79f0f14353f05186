package mattermost

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
)

// program is a Program whose migration is what psql makes of sql, with the data source that the real
// one is given.
func (s *server) program(sql string) Program {
	return Program{Dir: "/opt/x", Run: func(ctx context.Context, c host.Command) ([]byte, error) {
		if got := strings.Join(c.Args, " "); got != "db migrate" {
			return nil, errors.New("asked to " + got)
		}
		dsn, _ := strings.CutPrefix(c.Env[0], "MM_SQLSETTINGS_DATASOURCE=")
		d, err := ParseDSN(dsn, "")
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(dsn)
		if err != nil {
			return nil, err
		}
		env := append(slices.Clone(d.env), "PGAPPNAME="+u.Query().Get("application_name"))
		return host.Run(ctx, host.Command{Name: "psql", Args: []string{"-X", "-v", "ON_ERROR_STOP=1", "-c", sql}, Env: env})
	}}
}

func TestMigrateBesideAServer(t *testing.T) {
	s := startPostgres(t)
	d := s.as(t, "postgres", "postgres")
	fill(t, d)
	if err := s.program("create table a (b int)").Migrate(t.Context(), d, time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.program("nonsense").Migrate(t.Context(), d, time.Second); err == nil || errors.Is(err, ErrQueued) {
		t.Errorf("a migration that is broken: %v", err)
	}
	// Somebody holds the table: the migration must not make everybody else wait behind it.
	holder, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.WithoutCancel(t.Context()))
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select * from posts limit 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.program("alter table posts set (fillfactor = 90); create index i on posts (id)").Migrate(t.Context(), d, 50*time.Millisecond); err != nil {
		t.Errorf("nothing in it waits for a reader: %v", err)
	}
	if err := s.program("alter table posts add c int").Migrate(t.Context(), d, 50*time.Millisecond); !errors.Is(err, ErrQueued) {
		t.Errorf("a lock that is not to be had: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	bytes, err := d.TableBytes(t.Context())
	if err != nil || bytes["posts"] == 0 || bytes["Odd Name"] == 0 {
		t.Errorf("%v, %v", bytes, err)
	}
}

func TestEndMigrator(t *testing.T) {
	s := startPostgres(t)
	d := s.as(t, "postgres", "postgres")
	fill(t, d)
	d.sql(t, "insert into db_lock values ('mig', 1)", "create table twice (a int)", "insert into twice values (1), (1)")
	fails := func(name string) {
		t.Helper()
		if err := s.program("create unique index concurrently "+name+" on twice (a)").Migrate(t.Context(), d, time.Second); err == nil {
			t.Fatal("a unique index over what is not unique")
		}
	}
	fails("old")
	before, err := d.InvalidIndexes(t.Context())
	if err != nil || !slices.Equal(before, []string{"old"}) {
		t.Fatalf("%v, %v", before, err)
	}
	fails(`"New"`)
	slow, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.program("select pg_sleep(60)").Migrate(slow, d, time.Second) }()
	for d.one(t, "select count(*)::text from pg_stat_activity where application_name = '"+migrator+"' and query like '%pg_sleep%' and pid <> pg_backend_pid()") != "1" {
		time.Sleep(10 * time.Millisecond)
	}
	// Somebody is in the middle of a change of that table: an unfinished index goes when that is over, and
	// nobody else waits for either.
	writer, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(t.Context())
	if _, err := writer.Exec(t.Context(), "begin; lock table twice in row exclusive mode"); err != nil {
		t.Fatal(err)
	}
	removed := make(chan error, 1)
	go func() { removed <- d.EndMigrator(t.Context(), before) }()
	for d.one(t, "select count(*)::text from pg_stat_activity where query like 'drop index%' and wait_event_type = 'Lock'") != "1" {
		select {
		case err := <-removed:
			t.Fatalf("it did not wait: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	d.sql(t, "set lock_timeout = '1s'; insert into twice values (2)")
	if _, err := writer.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the migration went on")
	}
	after, err := d.InvalidIndexes(t.Context())
	if err != nil || !slices.Equal(after, before) {
		t.Errorf("unfinished indexes: %v, %v", after, err)
	}
	if left := d.one(t, "select count(*)::text from db_lock"); left != "0" {
		t.Errorf("%s locks are left", left)
	}
}

// In whichever language PostgreSQL says that a lock was not to be had, it is known for that; and a data
// source with options of its own keeps no lock from being given up.
func TestMigrateGivesUpInAnyLanguage(t *testing.T) {
	t.Setenv("LANGUAGE", "de") // of the server, which takes it over where its locale is another than C
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	fill(t, root)
	root.sql(t, "alter database postgres set lc_messages = 'C.UTF-8'")
	d, err := ParseDSN("postgres:///postgres?host="+s.dir+"&user=postgres&options=-c%20search_path%3Dpublic", "")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := d.lockTimeoutText(t.Context()); err != nil || strings.Contains(text, "lock timeout") {
		t.Fatalf("the server does not speak German: %q, %v", text, err)
	}
	holder := connect(t, root)
	if _, err := holder.Exec(t.Context(), "begin; select * from posts limit 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.program("nonsense").Migrate(t.Context(), d, time.Second); err == nil || errors.Is(err, ErrQueued) {
		t.Errorf("a migration that is broken: %v", err)
	}
	if err := s.program("alter table posts add c int").Migrate(t.Context(), d, 50*time.Millisecond); !errors.Is(err, ErrQueued) {
		t.Errorf("a lock that is not to be had: %v", err)
	}
}

// PostgreSQL 11 to 13 end a session, and do not wait for it.
func TestEndMigratorBeforePostgres14(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create database chat owner app")
	if s.major >= 14 {
		root.On("chat").sql(t, "revoke execute on function pg_terminate_backend(int, bigint) from public",
			"update pg_proc set pronargdefaults = 0, proargdefaults = null where oid = 'pg_terminate_backend(int, bigint)'::regprocedure",
			"set allow_system_table_mods = on; create function pg_catalog.pg_terminate_backend(int) returns boolean language sql security definer as 'select pg_terminate_backend($1, 0)'")
	}
	app := s.as(t, "app", "chat")
	conn := connect(t, app)
	if _, err := conn.Exec(t.Context(), "set application_name = "+literal(migrator)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "select pg_sleep(60)")
		ended <- err
	}()
	for app.one(t, "select count(*)::text from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()") != "1" {
		time.Sleep(10 * time.Millisecond)
	}
	if err := app.EndMigrator(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("it went on")
	}
}
