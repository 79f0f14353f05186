package mattermost

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStreamAndLoad: what Stream writes fills an empty database with the same, twice the same bytes,
// and what is cut short or of other counts is refused.
func TestStreamAndLoad(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create role upgrader login createdb", "grant app to upgrader",
		"create database chat owner app", "alter database chat set work_mem = '8MB'")
	app := s.as(t, "app", "chat")
	fill(t, app)
	app.sql(t, "create table fileinfo (id text primary key, path text, size bigint)",
		"insert into fileinfo values ('a', '20261122/a.txt', 12), ('b', '', 0)",
		"create schema elsewhere", "create table elsewhere.notours (a int)")
	admin, err := FindAdmin(t.Context(), app, "postgres:///chat?host="+s.dir+"&user=upgrader", "")
	if err != nil {
		t.Fatal(err)
	}

	var dump, again bytes.Buffer
	rows, at, err := app.Stream(t.Context(), s.tools, &dump, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rows.Of("posts") != 500 || rows.Of("Odd Name\"") != 0 || rows.Of("users") != 2 || time.Since(at).Abs() > time.Minute {
		t.Errorf("%v at %s", rows, at)
	}
	if strings.Contains(dump.String(), "elsewhere") || strings.Contains(dump.String(), "OWNER TO") {
		t.Error("the dump has more than the application's own")
	}
	if _, _, err := app.Stream(t.Context(), s.tools, &again, nil); err != nil {
		t.Fatal(err)
	}
	if a, b := plainLines(dump.String()), plainLines(again.String()); !slices.Equal(a, b) {
		t.Error("two dumps of the same differ")
	}

	scratch := ScratchName("chat", time.Now())
	text := dump.String()
	feed := func(text string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
	}
	for _, c := range []struct {
		name  string
		feed  func(io.Writer) error
		want  Rows
		error string
	}{
		{"whole", feed(text), rows, ""},
		{"cut short", feed(text[:len(text)/2]), rows, "fill database"},
		{"without its last line", feed(strings.Replace(text, "-- PostgreSQL database dump complete", "--", 1)), rows, "ends before its last line"},
		{"other counts", feed(text), Rows{"public.posts": 501}, "500 rows in the dump and 501"},
		{"what feeds it fails", func(w io.Writer) error {
			_, _ = io.WriteString(w, text[:1000])
			return errors.New("the network is cut")
		}, rows, "the network is cut"},
		{"no SQL", feed("select nonsense;\n"), rows, `column "nonsense" does not exist`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := admin.Create(t.Context(), scratch); err != nil { // in the place of the one before
				t.Fatal(err)
			}
			into := app.On(scratch)
			err := into.Load(t.Context(), c.want, c.feed)
			if c.error != "" {
				if err == nil || !strings.Contains(err.Error(), c.error) {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := into.one(t, `select (select count(*) from recent) || ' ' || (select sum(a) from "Odd Name") || ' ' || f() || ' ' || current_setting('work_mem')`); n != "500 3 1 8MB" {
				t.Errorf("it has %s", n)
			}
			if owner := into.one(t, "select tableowner from pg_tables where tablename = 'posts'"); owner != "app" {
				t.Errorf("posts belongs to %s", owner)
			}
			var files []Attachment
			err = into.Attachments(t.Context(), func(a Attachment) error { files = append(files, a); return nil })
			if err != nil || !slices.Equal(files, []Attachment{{"20261122/a.txt", 12}}) {
				t.Errorf("%v, %v", files, err)
			}
		})
	}
	if copies, err := admin.Copies(t.Context()); err != nil || len(copies) != 0 {
		t.Errorf("a scratch database counts as a copy: %v, %v", copies, err)
	}
	if err := admin.Create(t.Context(), "someone_elses"); err == nil {
		t.Error("it made a database of another name")
	}
	if err := errors.Join(admin.Sweep(t.Context()), admin.Sweep(t.Context())); err != nil {
		t.Error(err)
	}
	if there, err := admin.Exists(t.Context(), scratch); err != nil || there {
		t.Errorf("it is still there: %v, %v", there, err)
	}
}

// Where the service's provider owns the database, and the application may only use it, a database
// beside it can be filled all the same; and when it cannot be, psql says why.
func TestLoadBesideAManagedDatabase(t *testing.T) {
	s := startPostgres(t)
	s.as(t, "postgres", "postgres").sql(t, "create role app login", "create role doadmin login createdb", "create database chat owner doadmin")
	app := s.as(t, "app", "chat")
	adminURL := "postgres:///postgres?host=" + s.dir + "&user=doadmin"
	if err := app.Grant(t.Context(), s.as(t, "doadmin", "postgres")); err != nil {
		t.Fatal(err)
	}
	fill(t, app)
	app.sql(t, "create table padding as select repeat('x', 1000) as a from generate_series(1, 5000)")
	var dump bytes.Buffer
	rows, _, err := app.Stream(t.Context(), s.tools, &dump, nil)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := FindAdmin(t.Context(), app, adminURL, "")
	if err != nil {
		t.Fatal(err)
	}
	scratch := ScratchName("chat", time.Now())
	if err := admin.Create(t.Context(), scratch); err != nil {
		t.Fatal(err)
	}
	feed := func(w io.Writer) error { _, err := w.Write(dump.Bytes()); return err }
	if err := app.On(scratch).Load(t.Context(), rows, feed); err != nil {
		t.Error(err)
	}
	if err := app.On(scratch).Load(t.Context(), rows, feed); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("error is %v", err)
	}
}

// plainLines are those of a dump but for the key that pg_dump draws anew each time.
func plainLines(dump string) []string {
	return slices.DeleteFunc(strings.Split(dump, "\n"), func(l string) bool {
		return strings.HasPrefix(l, `\restrict `) || strings.HasPrefix(l, `\unrestrict `)
	})
}
