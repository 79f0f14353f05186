package mattermost

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
)

// program is a Program whose migration is what psql makes of sql, in the surroundings that the real
// one is given.
func (s *server) program(sql string) Program {
	return Program{Dir: "/opt/x", Run: func(ctx context.Context, c host.Command) ([]byte, error) {
		if got := strings.Join(c.Args, " "); got != "db migrate" {
			return nil, errors.New("asked to " + got)
		}
		return host.Run(ctx, host.Command{Name: "psql", Args: []string{"-X", "-v", "ON_ERROR_STOP=1", "-h", s.dir, "-U", "postgres", "-c", sql, "postgres"}, Env: c.Env})
	}}
}

func TestMigrateBesideAServer(t *testing.T) {
	s := startPostgres(t)
	d := s.as(t, "postgres", "postgres")
	fill(t, d)
	if err := s.program("create table a (b int)").Migrate(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.program("nonsense").Migrate(t.Context(), time.Second); err == nil || errors.Is(err, ErrQueued) {
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
	if err := s.program("alter table posts set (fillfactor = 90); create index i on posts (id)").Migrate(t.Context(), 50*time.Millisecond); err != nil {
		t.Errorf("nothing in it waits for a reader: %v", err)
	}
	if err := s.program("alter table posts add c int").Migrate(t.Context(), 50*time.Millisecond); !errors.Is(err, ErrQueued) {
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
		if err := s.program("create unique index concurrently "+name+" on twice (a)").Migrate(t.Context(), time.Second); err == nil {
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
	go func() { ended <- s.program("select pg_sleep(60)").Migrate(slow, time.Second) }()
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
