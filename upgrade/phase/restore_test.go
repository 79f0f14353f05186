package phase

import (
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
)

// What a restore puts out of sight is counted before it asks.
func TestRestoreCountsWhatItReplaces(t *testing.T) {
	h := newSmallHost(t)
	s := backup.Snapshot{ID: "7d4486d3", Time: time.UnixMilli(1000)}
	r, err := restoringOf(t.Context(), h.op.Facts, s)
	if err != nil || r.Replaces || len(r.Loses) != 0 {
		t.Errorf("on an empty database: %+v, %v", r, err)
	}
	h.post("999")
	h.post("1000")
	h.post("2000")
	h.op.Facts.Schema = mattermost.Schema{Tables: 2}
	r, err = restoringOf(t.Context(), h.op.Facts, s)
	must(t, err)
	if diff := cmp.Diff(&Restoring{Backup: "7d4486d3", Since: s.Time, Replaces: true, Loses: map[string]int{"posts": 2}}, r); diff != "" {
		t.Error(diff)
	}
	if r.Lost() != "2 posts" {
		t.Error(r.Lost())
	}
}

// What is kept is not in the version's directory, where the next upgrade would take it for something that
// was added; two places of one name are kept apart.
func TestReplacedFilesAreNoneOfTheVersion(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	me, err := user.Current()
	must(t, err)
	version, err := release.Parse("9.10.0")
	must(t, err)
	next := release.Release{Version: version, Edition: release.Team}
	link := filepath.Join(root, "mattermost")
	dir := mattermost.VersionDir(link, next.Dir())
	touch(t, dir, "motd.txt", "client/images/motd.txt")
	op := &Operation{Choice: release.Choice{Next: &next},
		Facts: &mattermost.Installation{Link: link, Dir: dir, Unit: &mattermost.Unit{User: me.Username}, Config: &mattermost.Config{},
			Places: []mattermost.Place{{Name: "motd.txt", Move: true, Custom: true}, {Name: "client/images/motd.txt", Move: true, Custom: true}}},
		restore: &backup.Snapshot{Manifest: backup.Manifest{Places: []backup.Place{
			{Name: "motd.txt", Path: "/opt/a/motd.txt", Custom: true}, {Name: "client/images/motd.txt", Path: "/opt/a/client/images/motd.txt", Custom: true}}}}}
	list, foreign := exchanges(op, "run")
	if len(foreign) > 0 {
		t.Fatal(foreign)
	}
	staging := filepath.Join(root, "townsquare", stagingPrefix+"run")
	for i, kept := range []string{"motd.txt", "client-images-motd.txt"} {
		e := list[i]
		if e.Path != filepath.Join(dir, op.Facts.Places[i].Name) || e.Kept != filepath.Join(staging, keptName, kept) || stagingOf(e) != staging {
			t.Errorf("%+v", e)
		}
	}
}

// Where no role may make a database, the backup goes into the schema that is there, which must be empty:
// objects of other roles would stay among the backup's.
func TestRestoreIntoTheSchemaThatIsThere(t *testing.T) {
	socket, _ := pgtest.Start(t)
	exec := func(database string, statements ...string) {
		conn, err := pgx.Connect(t.Context(), "host="+socket+" user=postgres dbname="+database)
		must(t, err)
		for _, sql := range statements {
			_, err := conn.Exec(t.Context(), sql)
			must(t, err)
		}
		must(t, conn.Close(t.Context()))
	}
	exec("postgres", "create role mm login", "create database chat owner mm", "create database empty owner mm")
	exec("chat", "create table bi_numbers (id int)", "alter role postgres nologin")
	for name, c := range map[string]struct {
		database, found string
		tables          int
	}{
		"empty":            {"empty", "", 0},
		"another's object": {"chat", "no role here may make another, and its schema holds table public.bi_numbers", 0},
		"in use":           {"chat", "in use, and no role here may make another", 2},
	} {
		db, err := mattermost.ParseDSN("host="+socket+" user=mm dbname="+c.database, "")
		must(t, err)
		op := &Operation{Facts: &mattermost.Installation{Database: db, Schema: mattermost.Schema{Tables: c.tables}}, restore: &backup.Snapshot{}}
		found, err := checkRestorable(t.Context(), op, &room{})
		must(t, err)
		if c.found == "" && len(found) > 0 || c.found != "" && (len(found) != 1 || found[0].Found != c.found || found[0].Where != "database chat") {
			t.Errorf("%s: %+v", name, found)
		}
	}
}
