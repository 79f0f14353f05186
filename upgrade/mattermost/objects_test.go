package mattermost

import (
	"path/filepath"
	"strings"
	"testing"
)

// objects are of every kind that a schema can hold and a role without special rights can make.
var objects = []string{
	"create domain positive as int check (value > 0)",
	"create type pair as (a int, b positive)",
	"create type mood as enum ('good', 'bad')",
	"create type span as range (subtype = int)",
	"create sequence counter",
	"create table parted (id int, at positive) partition by range (id)",
	"create table parted_one partition of parted for values from (1) to (10)",
	"create table numbers (id int generated always as identity, word text)",
	"create materialized view total as select count(*) from numbers",
	"create function twice(a int, out b int) language sql as 'select 2 * a'",
	"create procedure nothing() language sql as 'select 1'",
	"create function keep() returns trigger language plpgsql as 'begin return new; end'",
	"create trigger keeps before update on numbers for each row execute function keep()",
	"create aggregate total(int) (sfunc = int4pl, stype = int)",
	"create operator === (leftarg = int, rightarg = int, function = int4eq)",
	"create operator !== (rightarg = int, function = int4um)",
	`create collation "Plain" from "C"`,
	"create conversion latin for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8",
	"create text search dictionary plain (template = simple)",
	"create text search configuration simple_cfg (copy = english)",
	"comment on text search configuration simple_cfg is 'words; \"quoted\" -- and $$ more'",
	"create statistics related on id, word from numbers",
}

// census names all objects of the schema public, with their owners.
const census = `select string_agg(o.type || ' ' || o.identity || ' ' || coalesce(pg_get_userbyid(s.refobjid), '-'), E'\n' order by o.type, o.identity)
	from pg_depend d cross join lateral pg_identify_object(d.classid, d.objid, 0) o
	left join pg_shdepend s on s.dbid = (select oid from pg_database where datname = current_database()) and s.classid = d.classid and s.objid = d.objid and s.deptype = 'o'
	where d.refclassid = 'pg_namespace'::regclass and d.refobjid = 'public'::regnamespace`

// Whatever is in the schema, and of whatever owner, a dump goes back: what is the application's is exchanged,
// what is another's stays as it is with its rows and its comments.
func TestDumpGoesBackWhateverIsInTheSchema(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create role reader", "create database chat owner app")
	app, in := s.as(t, "app", "chat"), root.On("chat")
	fill(t, app)
	app.sql(t, objects...)
	app.sql(t, "insert into numbers (word) values ('one')", "select nextval('counter')", "grant select on posts to reader",
		"alter default privileges in schema public grant select on tables to reader", "refresh materialized view total")
	in.sql(t, "create extension pg_trgm", "create index on posts using gin (message gin_trgm_ops)",
		"create text search configuration cjk (copy = simple)", "comment on text search configuration cjk is 'not the application''s'",
		"create table bi_numbers (a serial primary key check (a > 0), b text default 'x')", "insert into bi_numbers (b) values ('kept')",
		"comment on column bi_numbers.a is 'a'", "comment on table bi_numbers is 'b'", "comment on constraint bi_numbers_a_check on bi_numbers is 'c'",
		"grant select on bi_numbers, bi_numbers_a_seq to app", "create policy all_of_it on bi_numbers using (true)",
		"create rule quiet as on delete to bi_numbers do instead nothing", "create index on bi_numbers (b)",
		"create operator family words using btree", "create function other() returns int language sql as 'select 1'", "create function compiled(int) returns int language internal as 'int4abs'",
		`create type "Other ===" as enum ('a')`, "create view report as select message from posts", "grant select on report to reader")
	before := in.one(t, census)
	dump := filepath.Join(t.TempDir(), "run.dump")
	if _, err := app.Dump(t.Context(), s.tools, dump, nil); err != nil {
		t.Fatal(err)
	}
	in.sql(t, "drop view report")
	migrate(t, app)
	app.sql(t, "create text search configuration newer (copy = simple)", "create operator #== (leftarg = int, rightarg = int, function = int4eq)",
		"create domain newer_domain as text", "drop domain positive cascade", "drop aggregate total(int)")
	in.sql(t, "insert into bi_numbers (b) values ('written since')", "create view report as select body from posts", "grant select on report to reader")
	for range 2 {
		if err := app.RestoreDump(t.Context(), s.tools, dump); err != nil {
			t.Fatal(err)
		}
	}
	after := in.one(t, census)
	// A view of another's on the application's tables goes with them, and comes back as the application's own.
	if want := in.one(t, "select replace("+literal(before)+", 'view public.report -', 'view public.report app')"); after != want {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	for query, want := range map[string]string{
		"select string_agg(b, ', ' order by a) from bi_numbers":           "kept, written since",
		"select count(*)::text from posts where message % 'line'":         "0",
		"select word || total.count from numbers, total":                  "one1",
		"select last_value::text from counter":                            "1",
		"select obj_description('cjk'::regconfig, 'pg_ts_config')":        "not the application's",
		"select obj_description('simple_cfg'::regconfig, 'pg_ts_config')": "words; \"quoted\" -- and $$ more",
		"select has_table_privilege('reader', 'posts', 'select')::text":   "true",
		"select has_table_privilege('reader', 'report', 'select')::text":  "true",
	} {
		if got := in.one(t, query); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
	}
}

// The two steps of a restore without room for both.
func TestClearLeavesNothingOfTheApplication(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create database chat owner app")
	app, in := s.as(t, "app", "chat"), root.On("chat")
	fill(t, app)
	app.sql(t, objects...)
	in.sql(t, "create extension pg_trgm", "create text search configuration cjk (copy = simple)")
	dump := filepath.Join(t.TempDir(), "run.dump")
	if _, err := app.Dump(t.Context(), s.tools, dump, nil); err != nil {
		t.Fatal(err)
	}
	before := in.one(t, census)
	if err := app.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := in.one(t, "select string_agg(line, ', ') from unnest(string_to_array(("+census+"), E'\\n')) line where line like '% app'"); got != "table public.db_migrations app" {
		t.Errorf("left: %s", got)
	}
	if err := app.RestoreDump(t.Context(), s.tools, dump); err != nil {
		t.Fatal(err)
	}
	if after := in.one(t, census); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// A table in the schema that the application may not read is named by the error.
func TestDumpNamesWhatCannotBeRead(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create database chat owner app")
	app := s.as(t, "app", "chat")
	fill(t, app)
	root.On("chat").sql(t, "create table bi_numbers (a int)")
	_, err := app.Dump(t.Context(), s.tools, filepath.Join(t.TempDir(), "run.dump"), nil)
	if err == nil || !strings.Contains(err.Error(), "permission denied for table bi_numbers") {
		t.Errorf("error is %v", err)
	}
}
