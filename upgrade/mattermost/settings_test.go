package mattermost

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// settingsOf are what belongs to a database and is not in it, with roles' settings in it.
const settingsOf = `select (to_jsonb(d) - '{oid,datname,datfrozenxid,datminmxid,datcollversion}'::text[])::text || coalesce(shobj_description(d.oid, 'pg_database'), '')
	|| (select string_agg(coalesce(r.rolname, '-') || ' ' || w, E'\n' order by r.rolname, w)
		from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) w where s.setdatabase = d.oid)
	from pg_database d where d.datname = current_database()`

// What belongs to a database, and is not in it, is the same when a copy of it, or a backup, has taken
// its place, whichever role made that.
func TestSettingsSurviveACopy(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create role grafana login", "create role upgrader login createdb", "grant app to upgrader",
		"create role doadmin login createdb createrole", "set allow_in_place_tablespaces = on", "create tablespace fast location ''",
		"grant create on tablespace fast to public")
	icu := " locale_provider icu icu_locale 'de'"
	if s.major < 15 {
		icu = ""
	}
	for _, admin := range []string{"postgres", "upgrader", "doadmin", "app"} {
		t.Run(admin, func(t *testing.T) {
			name, owner := "chat_"+admin, "app"
			if admin == "doadmin" {
				owner = admin
			}
			if admin == "app" {
				root.sql(t, "alter role app createdb")
			}
			root.sql(t, "create database "+name+" owner "+owner+" template template0"+icu+" tablespace fast connection limit 40",
				"comment on database "+name+" is 'Ada''s \"chat\"'",
				"revoke all on database "+name+" from public", "grant connect on database "+name+" to grafana with grant option", "grant all on database "+name+" to app",
				"alter database "+name+" set work_mem = '8MB'", "alter database "+name+` set search_path = "$user", public`,
				"alter role app in database "+name+" set statement_timeout = '10min'", "alter role app in database "+name+` set search_path = "Odd, name", public`,
				"alter database "+name+` set application_name = 'it''s = "that"'`)
			if admin != "upgrader" && admin != "app" { // who may not change another role
				root.sql(t, "alter role grafana in database "+name+" set default_transaction_read_only = on")
			}
			app := s.as(t, "app", name)
			if owner != "app" {
				root.On(name).sql(t, "grant create on schema public to app")
			}
			fill(t, app)
			before := root.On(name).one(t, settingsOf)
			a, err := FindAdmin(t.Context(), app, "postgres:///postgres?host="+s.dir+"&user="+admin, "")
			if err != nil {
				t.Fatal(err)
			}
			if a.Role != admin {
				t.Fatalf("the administrator is %s", a.Role)
			}
			at := time.Now()
			if err := a.Checkpoint(t.Context(), CheckpointName(name, at)); err != nil {
				t.Fatal(err)
			}
			if err := a.PutBack(t.Context(), CheckpointName(name, at), FailedName(name, at)); err != nil {
				t.Fatal(err)
			}
			if after := root.On(name).one(t, settingsOf); after != before {
				t.Errorf("before:\n%s\nafter a copy:\n%s", before, after)
			}
			if err := a.Create(t.Context(), RestoredName(name, at)); err != nil {
				t.Fatal(err)
			}
			later := at.Add(time.Second)
			if err := a.PutBack(t.Context(), RestoredName(name, at), FailedName(name, later)); err != nil {
				t.Fatal(err)
			}
			if after := root.On(name).one(t, settingsOf); after != before {
				t.Errorf("before:\n%s\nafter a restore:\n%s", before, after)
			}
		})
	}
}

// A setting that no role here may repeat is known by its error, and leaves no half of a copy; a scratch
// database does without.
func TestSettingsThatCannotBeCopied(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login createdb", "create role grafana login", "create database chat owner app",
		"alter role grafana in database chat set statement_timeout = '1min'")
	app := s.as(t, "app", "chat")
	a, err := FindAdmin(t.Context(), app, "postgres:///postgres?host="+s.dir+"&user=app", "")
	if err != nil {
		t.Fatal(err)
	}
	a.super = nil // as where the database is on another server
	if err := a.Checkpoint(t.Context(), CheckpointName("chat", time.Now())); !errors.Is(err, ErrNoCopy) {
		t.Errorf("error is %v", err)
	}
	if copies, err := a.Copies(t.Context()); err != nil || len(copies) != 0 {
		t.Errorf("left: %v, %v", copies, err)
	}
	if err := a.Create(t.Context(), ScratchName("chat", time.Now())); err != nil {
		t.Error(err)
	}
}

// Only a copy of a database takes its place.
func TestPutBackRefusesAnothersCopy(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create database chat owner app", "create database config owner app")
	a, err := FindAdmin(t.Context(), s.as(t, "app", "config"), "postgres:///postgres?host="+s.dir+"&user=postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	copied := CheckpointName("chat", time.Now())
	root.sql(t, "create database "+copied+" template chat")
	if err := a.PutBack(t.Context(), copied, FailedName("config", time.Now())); err == nil || !strings.Contains(err.Error(), "refusing") {
		t.Errorf("error is %v", err)
	}
	if there, err := a.Exists(t.Context(), copied); err != nil || !there {
		t.Errorf("it was renamed: %v", err)
	}
}

// What PostgreSQL advises is in the error.
func TestErrorsHaveTheHint(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create database chat locale_provider icu icu_locale 'de' template template0", "update pg_database set datcollversion = '1' where datname = 'chat'")
	a, err := FindAdmin(t.Context(), root.On("chat"), "postgres:///postgres?host="+s.dir+"&user=postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	err = a.Checkpoint(t.Context(), CheckpointName("chat", time.Now()))
	if !errors.Is(err, ErrNoCopy) || !strings.Contains(err.Error(), "collation version mismatch") || !strings.Contains(err.Error(), "ALTER DATABASE chat REFRESH COLLATION VERSION") {
		t.Errorf("error is %v", err)
	}
}
