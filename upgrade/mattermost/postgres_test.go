package mattermost

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/pgtest"
)

// server is a PostgreSQL of our own, with the tools that fit it.
type server struct {
	dir   string
	tools Tools
	major int
}

func startPostgres(t *testing.T) *server {
	t.Helper()
	dir, major := pgtest.Start(t)
	tools, err := FindTools(t.Context(), host.Run, major)
	if err != nil {
		t.Fatal(err)
	}
	return &server{dir, tools, major}
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
