package phase

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// way is how a test's run may stand when the way back begins.
type way struct {
	migrated   bool   // by the new version
	posts      int    // written by users since they were let in
	opened     bool   // or still behind the gate
	rebooted   bool   // since the run began
	boot       bool   // and this is the boot's own recovery
	checkpoint bool   // a copy was made at the stop
	plan       string // what the new version does with `db downgrade`: "works", "fails", or there is no plan
	drafts     int    // rows of a table that only the new version has
	broken     bool   // an attempt to take the migrations back was killed half way, with a copy made before
	want       string // of the schema: "as it was", "not as it was"; or an error's text
	keeps      bool   // the posts of users are there
}

// TestFit goes every way back on a real database: nothing that users wrote may be lost on any.
func TestFit(t *testing.T) {
	socket, _ := pgtest.Start(t)
	number := 0 // each has a database of its own
	for name, w := range map[string]way{
		"nothing happened":                        {checkpoint: true, want: "as it was"},
		"migrated behind the gate":                {migrated: true, checkpoint: true, want: "as it was"},
		"migrated without a copy":                 {migrated: true, want: "not as it was"},
		"open, unchanged schema, posts":           {opened: true, posts: 3, checkpoint: true, want: "as it was", keeps: true},
		"open, migrated, posts, plan works":       {opened: true, migrated: true, posts: 3, checkpoint: true, plan: "works", want: "as it was", keeps: true},
		"open, migrated, posts and drafts":        {opened: true, migrated: true, posts: 3, drafts: 2, checkpoint: true, plan: "works", want: "as it was", keeps: true},
		"open, migrated, posts, killed half way":  {opened: true, migrated: true, posts: 3, checkpoint: true, plan: "works", broken: true, want: "as it was", keeps: true},
		"open, migrated, posts, plan fails":       {opened: true, migrated: true, posts: 3, checkpoint: true, plan: "fails", want: "going back would lose", keeps: true},
		"open, migrated, posts, no plan":          {opened: true, migrated: true, posts: 3, checkpoint: true, want: "going back would lose", keeps: true},
		"open, migrated, no posts, plan fails":    {opened: true, migrated: true, checkpoint: true, plan: "fails", want: "as it was"},
		"rebooted, served for days, old schema":   {rebooted: true, posts: 3, checkpoint: true, want: "as it was", keeps: true},
		"rebooted, served for days, migrated":     {rebooted: true, migrated: true, posts: 3, checkpoint: true, plan: "works", want: "as it was", keeps: true},
		"rebooting, half migrated":                {rebooted: true, boot: true, migrated: true, checkpoint: true, plan: "fails", want: "as it was"},
		"rebooting, migrated, and users had been": {rebooted: true, boot: true, opened: true, migrated: true, posts: 3, checkpoint: true, want: "going back would lose", keeps: true},
	} {
		number++
		t.Run(name, func(t *testing.T) { w.try(t, socket, fmt.Sprintf("mm%d", number)) })
	}
}

// community is a database with a post in it, and a way to run statements there.
func community(t *testing.T, socket, database string) (*mattermost.Database, func(database string, statements ...string)) {
	t.Helper()
	ctx := t.Context()
	exec := func(database string, statements ...string) {
		t.Helper()
		conn, err := pgx.Connect(ctx, "host="+socket+" user=postgres dbname="+database)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	exec("postgres", "create database "+database)
	exec(database, "create table db_migrations (version bigint)", "insert into db_migrations values (100)",
		"create table posts (id serial, updateat bigint)", "insert into posts (updateat) values (1)")
	db, err := mattermost.ParseDSN("host="+socket+" user=postgres dbname="+database, "")
	if err != nil {
		t.Fatal(err)
	}
	return db, exec
}

func (w way) try(t *testing.T, socket, database string) {
	ctx := t.Context()
	db, exec := community(t, socket, database)
	began := time.Now().Add(-time.Minute)
	_, boot := host.Process()
	run := &state.Run{From: "7.7.0", To: "9.10.0", Started: began, StoppedAt: began, BootID: boot, Stopped: true,
		Checkpoint: mattermost.CheckpointName(database, began), CheckpointComplete: w.checkpoint}
	var err error
	if run.SchemaBefore, err = db.AppliedMigrations(ctx); err != nil {
		t.Fatal(err)
	}
	var said string
	op := &Operation{Record: &state.State{Run: run}, Boot: w.boot, Emit: func(e Event) { said += e.Text }, Save: func() error { return nil }}
	if w.checkpoint {
		admin, err := findAdmin(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		if err := admin.Checkpoint(ctx, run.Checkpoint); err != nil {
			t.Fatal(err)
		}
	}
	if w.rebooted {
		run.BootID = "another boot"
	}
	if w.opened {
		run.OpenedAt = began.Add(time.Second)
	}
	if w.migrated {
		exec(database, "insert into db_migrations values (101)")
	}
	for range w.drafts {
		exec(database, "create table if not exists drafts (text text)", "insert into drafts values ('')")
	}
	for range w.posts {
		exec(database, "insert into posts (updateat) values (extract(epoch from now()) * 1000)")
	}
	w.install(t, run, socket, database)

	if w.broken {
		admin, err := findAdmin(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		run.Spare = mattermost.CheckpointName(database, run.OpenedAt.Add(time.Second))
		if err := admin.Checkpoint(ctx, run.Spare); err != nil {
			t.Fatal(err)
		}
		run.SpareAt = time.Now()
		exec(database, "drop table posts")
	}
	for range 2 { // once more, as after an interruption
		err = fit(ctx, op, &mattermost.Unit{}, db)
		var k *kept
		switch {
		case strings.HasPrefix(w.want, "going back") && (!errors.As(err, &k) || !strings.Contains(err.Error(), w.want)):
			t.Errorf("got %v, want %q", err, w.want)
		case !strings.HasPrefix(w.want, "going back") && err != nil:
			t.Error(err)
		}
	}
	now, err := db.AppliedMigrations(ctx)
	if err != nil || (now == run.SchemaBefore) != (w.want == "as it was") {
		t.Errorf("the schema is %s, was %s (%v)", now, run.SchemaBefore, err)
	}
	w.kept(t, db, run, said)
	written, err := db.Written(ctx, began)
	if err != nil || (written["posts"] == w.posts && w.posts > 0) != w.keeps {
		t.Errorf("posts there: %v of %d (%v)", written, w.posts, err)
	}
}

// kept wants a copy, and a word of it, of what only the new version knew; and no other copy.
func (w way) kept(t *testing.T, db *mattermost.Database, run *state.Run, said string) {
	t.Helper()
	if run.Spare == "" {
		return
	}
	rows, err := db.On(run.Spare).CountRows(t.Context(), []string{"drafts"})
	if there := err == nil; there != (w.drafts > 0) || rows["drafts"] != w.drafts {
		t.Errorf("kept as %s are %d of %d drafts (%v)", run.Spare, rows["drafts"], w.drafts, err)
	}
	if named := strings.Contains(said, "only 9.10.0 knows it: 2 drafts; the database with it is kept as "+run.Spare); named != (w.drafts > 0) {
		t.Errorf("it says %q", said)
	}
}

// install makes a new version whose program can do nothing but `db downgrade`.
func (w way) install(t *testing.T, run *state.Run, socket, database string) {
	t.Helper()
	if w.plan == "" {
		return
	}
	dir := t.TempDir()
	run.NewTarget, run.Plan = dir, filepath.Join(dir, "plan.json")
	plan, err := json.Marshal(map[string]any{"Migrations": []any{map[string]any{"Bytes": []byte("CREATE TABLE IF NOT EXISTS drafts (text text);")}}})
	must(t, err)
	script := "#!/bin/sh\ntest \"$1 $2 $3\" = 'db downgrade plan.json' || exit 2\n" +
		"psql --quiet --host=" + socket + " --username=postgres --dbname=" + database + " --command='delete from db_migrations where version = 101; drop table if exists drafts'\n"
	if w.plan == "fails" {
		script = "#!/bin/sh\necho no way >&2\nexit 1\n"
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "mattermost"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(run.Plan, plan, 0o600); err != nil {
		t.Fatal(err)
	}
}
