package mattermost

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"
	"time"
)

// A database with an index that an extension serves can be restored: beside the one that is there, and on
// a server that has never seen it. An extension that no role here may make is done without, where no
// table needs it.
func TestExtensionsComeAlong(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create role upgrader login createdb", "grant app to upgrader", "create database chat owner app", "create database elsewhere owner app")
	app := s.as(t, "app", "chat")
	fill(t, app)
	root.On("chat").sql(t, "create extension pg_trgm", "create schema tools", "create extension unaccent schema tools", "create extension pageinspect",
		"create index words on posts using gin (message gin_trgm_ops)")
	var backup bytes.Buffer
	rows, _, err := app.Stream(t.Context(), s.tools, &backup, nil)
	if err != nil {
		t.Fatal(err)
	}
	dump := filepath.Join(t.TempDir(), "run.dump")
	if _, err := app.Dump(t.Context(), s.tools, dump, nil); err != nil {
		t.Fatal(err)
	}
	feed := func(w io.Writer) error { _, err := w.Write(backup.Bytes()); return err }
	for _, database := range []string{"chat", "elsewhere"} {
		target := s.as(t, "app", database)
		a, err := FindAdmin(t.Context(), target, "postgres:///postgres?host="+s.dir+"&user=upgrader", "")
		if err != nil {
			t.Fatal(err)
		}
		into := target.On(ScratchName(database, time.Now()))
		if err := a.Create(t.Context(), into.Name); err != nil {
			t.Fatal(err)
		}
		if err := into.Load(t.Context(), rows, feed); err != nil {
			t.Errorf("a backup beside %s: %v", database, err)
			continue
		}
		if got := into.one(t, "select indexdef from pg_indexes where indexname = 'words'"); got != "CREATE INDEX words ON public.posts USING gin (message gin_trgm_ops)" {
			t.Errorf("beside %s: %s", database, got)
		}
		if database == "elsewhere" {
			continue
		}
		if err := a.Create(t.Context(), into.Name); err != nil {
			t.Fatal(err)
		}
		if err := into.RestoreDump(t.Context(), s.tools, dump); err != nil {
			t.Errorf("a dump beside %s: %v", database, err)
		}
	}
}
