package mattermost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// origin is a way to have Mattermost's tables in another schema than public.
type origin struct {
	name   string
	admin  string   // makes the copies
	dsn    string   // added to the data source
	sql    []string // run by the superuser
	schema string
}

var origins = []origin{
	{name: "data source", admin: "upgrader", dsn: "&search_path=chat", schema: "chat"},
	{name: "options of the data source", admin: "postgres", dsn: "&options=" + url.QueryEscape("-c search_path=chat"), schema: "chat"},
	{name: "odd name in the data source", admin: "doadmin", dsn: "&search_path=" + url.QueryEscape(`"Chat \-1", public`), schema: `Chat \-1`},
	{name: "role", admin: "doadmin", sql: []string{"alter role ROLE set search_path = SCHEMA"}, schema: "Chat-1"},
	{name: "role in the database", admin: "upgrader", sql: []string{"alter role ROLE in database DATABASE set search_path = SCHEMA"}, schema: "chat"},
	{name: "database", admin: "doadmin", sql: []string{"alter database DATABASE set search_path = SCHEMA"}, schema: "chat"},
	{name: "database, public too", admin: "upgrader", sql: []string{"alter database DATABASE set search_path = SCHEMA, public"}, schema: "chat"},
	{name: "schema of the role's name", admin: "postgres", sql: []string{"alter schema SCHEMA owner to postgres", "grant usage, create on schema SCHEMA to ROLE"}, schema: "app7"},
}

// Wherever the search_path comes from, a copy, a dump and a backup hold the tables of the schema that
// Mattermost uses, and what is made of them serves it from that schema.
func TestSchemaOfAnyOrigin(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role upgrader login createdb", "create role doadmin login createdb createrole")
	for i, o := range origins {
		t.Run(o.name, func(t *testing.T) {
			role, name := fmt.Sprintf("app%d", i), fmt.Sprintf("chat%d", i)
			owner := role
			if o.admin == "doadmin" { // as a managed service has it
				owner = o.admin
			}
			root.sql(t, "create role "+role+" login", "grant "+role+" to upgrader", "create database "+name+" owner "+owner)
			in := root.On(name)
			in.sql(t, "create schema "+quote(o.schema)+" authorization "+role,
				"create table public.posts as select 7 as id", "alter table public.posts owner to "+role,
				"create table public.unreadable as select 1 as id", "create schema bi", "create table bi.unreadable as select 1 as id")
			for _, sql := range o.sql {
				in.sql(t, strings.NewReplacer("ROLE", role, "DATABASE", name, "SCHEMA", quote(o.schema)).Replace(sql))
			}
			app, err := ParseDSN(fmt.Sprintf("postgres:///%s?host=%s&user=%s%s", name, s.dir, role, o.dsn), "")
			if err != nil {
				t.Fatal(err)
			}
			round(t, s, app, o.admin, o.schema)
		})
	}
}

// round takes a database through everything that is done to one, and looks at it as a server would.
func round(t *testing.T, s *server, app *Database, admin, schema string) {
	t.Helper()
	a, err := FindAdmin(t.Context(), app, "postgres:///postgres?host="+s.dir+"&user="+admin, "")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, app)
	sees := func(what string, d *Database, posts string) {
		t.Helper()
		server, err := ParseDSN(d.DataSource(), "") // as the server itself connects
		if err != nil {
			t.Fatal(err)
		}
		if got := server.one(t, "select current_schema()"); got != schema {
			t.Errorf("%s: a server uses schema %s", what, got)
		}
		if got, err := server.AppliedMigrations(t.Context()); err != nil || got != "db_migrations:100:100" {
			t.Errorf("%s: a server finds migrations %q, %v", what, got, err)
		}
		if got := server.one(t, "select count(*)::text from posts where message like 'line 1%'"); got != posts {
			t.Errorf("%s: %s posts", what, got)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sees("as it is", app, "500")
	dump := filepath.Join(t.TempDir(), "run.dump")
	_, err = app.Dump(t.Context(), s.tools, dump, nil)
	must(err)

	at := time.Now()
	checkpoint, failed := CheckpointName(app.Name, at), FailedName(app.Name, at)
	must(a.Checkpoint(t.Context(), checkpoint))
	migrate(t, app)
	must(a.PutBack(t.Context(), checkpoint, failed))
	sees("a copy in its place", app, "500")
	must(a.Drop(t.Context(), failed))

	migrate(t, app)
	must(app.RestoreDump(t.Context(), s.tools, dump))
	sees("the dump in its place", app, "500")
	if got := app.one(t, "select string_agg(id::text, ',') from public.posts"); got != "7" {
		t.Errorf("what another application has in public is %s", got)
	}

	scratch := app.On(ScratchName(app.Name, at))
	must(a.Create(t.Context(), scratch.Name))
	must(scratch.RestoreDump(t.Context(), s.tools, dump))
	sees("the dump beside it", scratch, "500")
	other := app.On(ScratchName(app.Name, at.Add(time.Second)))
	must(a.ScratchOf(t.Context(), scratch.Name, other.Name))
	sees("a copy of that", other, "500")

	var backup bytes.Buffer
	rows, _, err := app.Stream(t.Context(), s.tools, &backup, nil)
	must(err)
	restored := RestoredName(app.Name, at)
	must(a.Create(t.Context(), restored))
	feed := func(w io.Writer) error { _, err := w.Write(backup.Bytes()); return err }
	must(app.On(restored).Load(t.Context(), rows, feed))
	app.sql(t, "delete from posts")
	replaced := CheckpointName(app.Name, at.Add(time.Minute))
	must(a.PutBack(t.Context(), restored, replaced))
	sees("the backup in its place", app, "500")
	must(errors.Join(a.Sweep(t.Context()), a.Drop(t.Context(), replaced)))
}

// A backup of one schema is not loaded where the application uses another: it would start anew there.
func TestLoadRefusesAnotherSchema(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create database old owner app", "create database new owner app")
	app := s.as(t, "app", "old")
	app.sql(t, "create schema app")
	fill(t, app)
	var backup bytes.Buffer
	rows, _, err := app.Stream(t.Context(), s.tools, &backup, nil)
	if err != nil {
		t.Fatal(err)
	}
	into := s.as(t, "app", "new")
	err = into.Load(t.Context(), rows, func(w io.Writer) error { _, err := w.Write(backup.Bytes()); return err })
	if err == nil || !strings.Contains(err.Error(), "schema app") || !strings.Contains(err.Error(), "schema public") {
		t.Errorf("error is %v", err)
	}
	if n := into.one(t, "select count(*)::text from pg_tables where schemaname in ('app', 'public')"); n != "0" {
		t.Errorf("%s tables were left there", n)
	}
}

// A search_path that names no schema of the database is refused in words.
func TestNoSchema(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create database chat owner app", "alter role app set search_path = gone")
	app := s.as(t, "app", "chat")
	schema, err := app.Inspect(t.Context())
	if err != nil || schema.Name != "" || schema.SearchPath != "gone" {
		t.Errorf("%+v, %v", schema, err)
	}
	if may, err := app.MayCreate(t.Context()); may || !errors.Is(err, ErrNoSchema) {
		t.Errorf("%v, %v", may, err)
	}
	if err := app.Grant(t.Context(), root); !errors.Is(err, ErrNoSchema) || strings.Contains(err.Error(), "%!w") || !strings.Contains(err.Error(), "gone") {
		t.Errorf("%v", err)
	}
	if owner := root.one(t, "select pg_get_userbyid(datdba) from pg_database where datname = 'chat'"); owner != "app" {
		t.Errorf("the database belongs to %s", owner)
	}
}
