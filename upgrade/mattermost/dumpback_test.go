package mattermost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
)

// A restore that ends in the middle, however it does, leaves what was there.
func TestRestoreDumpIsAllOrNothing(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create database chat owner app", "alter database chat set search_path = \"$user\", public")
	app := s.as(t, "app", "chat")
	fill(t, app)
	path := filepath.Join(t.TempDir(), "run.dump")
	if _, err := app.Dump(t.Context(), s.tools, path, nil); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, app)
	before := app.one(t, "select string_agg(body, '' order by id) from posts")
	fails := func(t *testing.T, tools Tools, path, why string) error {
		t.Helper()
		err := app.RestoreDump(t.Context(), tools, path)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %q", err, why)
		}
		if now := app.one(t, "select max(version) || (select string_agg(body, '' order by id) from posts) from db_migrations"); now != "101"+before {
			t.Errorf("the database is %.20s…", now)
		}
		return err
	}
	t.Run("the dump ends", func(t *testing.T) {
		cut := filepath.Join(t.TempDir(), "cut.dump")
		if err := os.WriteFile(cut, whole[:len(whole)-200], 0o600); err != nil {
			t.Fatal(err)
		}
		fails(t, s.tools, cut, "pg_restore: exit status 1")
	})
	t.Run("the database ends it", func(t *testing.T) {
		root.sql(t, `create table public.slow (a int)`)
		holder, err := s.as(t, "postgres", "chat").Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close(context.WithoutCancel(t.Context()))
		tx, err := holder.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "lock posts in access share mode"); err != nil { // the restore waits here
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- app.RestoreDump(t.Context(), s.tools, path) }()
		for root.one(t, "select count(*)::text from pg_stat_activity where datname = 'chat' and wait_event_type = 'Lock'") != "1" {
			time.Sleep(10 * time.Millisecond)
		}
		root.sql(t, "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'chat' and usename = 'app'")
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "terminating connection") {
			t.Errorf("got %v", err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := app.one(t, "select max(version)::text from db_migrations"); now != "101" {
			t.Errorf("the database is at %s", now)
		}
	})
	t.Run("no room", func(t *testing.T) {
		full := s.tools
		full.run = func(ctx context.Context, c host.Command) ([]byte, error) {
			if !strings.HasSuffix(c.Name, "pg_restore") || slices.Contains(c.Args, "--list") {
				return host.Run(ctx, c)
			}
			_, err := c.Stdout.Write([]byte("do $$ begin raise exception using errcode = 'disk_full', message = 'no room', hint = 'buy a disk'; end $$;\n"))
			return nil, err
		}
		if err := fails(t, full, path, "no room"); !errors.Is(err, ErrNoRoom) || strings.Contains(err.Error(), "LOCATION") {
			t.Errorf("got %v", err)
		}
		if err := app.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		now, err := app.AppliedMigrations(t.Context())
		if err != nil || !Emptied(now) || Emptied("db_migrations:100:100") {
			t.Errorf("the database is at %q, %v", now, err)
		}
		// As a server asks when it starts (mattermost/morph, drivers/postgres): it must not go on.
		conn := connect(t, app)
		if _, err := conn.Exec(t.Context(), "create table if not exists db_migrations (version bigint not null, name varchar not null, primary key (version))"); err != nil {
			t.Error(err)
		}
		if _, err := conn.Exec(t.Context(), "select version, name from db_migrations"); err == nil {
			t.Error("a server would start on it as on a new one")
		}
		conn.Close(t.Context())
		if err := app.RestoreDump(t.Context(), s.tools, path); err != nil {
			t.Fatal(err)
		}
		if got, err := app.Inspect(t.Context()); err != nil || got.Migrations != "db_migrations:100:100" || got.Tables != 6 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A database whose name PostgreSQL's programs would read as words of a connection goes back like any other.
func TestRestoreDumpOfAnOddName(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	const name = "mm=1 dbname=postgres"
	root.sql(t, "create role app login", "create database "+quote(name)+" owner app")
	app := s.as(t, "app", "postgres").On(name)
	fill(t, app)
	path := filepath.Join(t.TempDir(), "run.dump")
	if _, err := app.Dump(t.Context(), s.tools, path, nil); err != nil {
		t.Fatal(err)
	}
	migrate(t, app)
	if err := app.RestoreDump(t.Context(), s.tools, path); err != nil {
		t.Fatal(err)
	}
	if now, err := app.AppliedMigrations(t.Context()); err != nil || now != "db_migrations:100:100" {
		t.Errorf("the database is at %s, %v", now, err)
	}
}
