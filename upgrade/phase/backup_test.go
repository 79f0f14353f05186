package phase

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// TestAttachmentsOfABackup: each row has its file, of its size, or the backup is none.
func TestAttachmentsOfABackup(t *testing.T) {
	socket, _ := pgtest.Start(t)
	db, err := mattermost.ParseDSN("host="+socket+" user=postgres dbname=postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec := func(sql string) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	prove := func(store string, lost ...string) error {
		return proveAttachments(t.Context(), db, store, &backup.Manifest{Lost: lost})
	}

	store := t.TempDir()
	if err := prove(store); err != nil {
		t.Errorf("a database without such a table: %v", err)
	}
	touch(t, store, "20261122/charter.txt")
	exec("create table fileinfo (id text, path text, size bigint)")
	exec("insert into fileinfo values ('a', '20261122/charter.txt', 20)")
	if err := prove(store); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ row, want string }{
		{"('b', '20261122/gone.txt', 1)", "gone.txt is missing"},
		{"('b', '20261122/charter.txt', 21)", "has 20 bytes instead of 21"},
		{"('b', '20261122', 21)", "is not a file"},
		{"('b', '../../etc/passwd', 21)", "leads out of the file store"},
	} {
		exec("insert into fileinfo values " + c.row)
		if err := prove(store); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.row, err)
		}
		exec("delete from fileinfo where id = 'b'")
	}
	exec("insert into fileinfo values ('b', 'gone', 1), ('c', 'gone as well', 1)")
	if err := prove(store); err == nil || !strings.Contains(err.Error(), "2 attachments") {
		t.Errorf("two: %v", err)
	}
	if err := prove(store, "gone", "gone as well"); err != nil {
		t.Errorf("those that the server had lost before: %v", err)
	}
}

// A backup that lost files beside an earlier one is told from one of a server that never had them, and
// from one whose files were lost before anybody backed them up.
func TestBackupWithoutItsFiles(t *testing.T) {
	files := func(from, to int) (list []string) {
		for i := from; i < to; i++ {
			list = append(list, fmt.Sprint("file", i))
		}
		return list
	}
	at := func(day int, lost []string, site string) backup.Snapshot {
		m := backup.Manifest{Site: site, Attachments: 400, Lost: lost, StorePath: "/data"}
		return backup.Snapshot{ID: fmt.Sprint("day", day), Time: time.Date(2026, 11, day, 2, 0, 0, 0, time.UTC), Manifest: m}
	}
	all := []backup.Snapshot{at(11, nil, "here"), at(9, files(0, 390), "here"), at(8, files(0, 20), "here"), at(7, nil, "elsewhere")}
	has := map[string][]string{"day11": files(0, 900), "day9": files(390, 400), "day8": files(20, 380), "day7": files(0, 900)}
	holds := func(earlier backup.Snapshot, paths []string) (n int, err error) {
		for _, p := range paths {
			if slices.Contains(has[earlier.ID], p) {
				n++
			}
		}
		return n, nil
	}
	for _, c := range []struct {
		lost  []string
		given int
		want  string
		kept  int
		gone  bool
	}{
		{nil, 0, "", 0, false},
		{files(20, 24), 0, "", 0, false}, // one in a hundred
		{files(0, 20), 0, "", 0, true},
		{files(0, 24), 0, "", 0, false}, // day 8's has four
		{files(0, 25), 0, "day8", 5, false},
		{files(0, 25), 21, "", 0, false},
		{files(0, 25), 20, "day8", 5, false},
		{files(380, 400), 0, "day9", 10, false},
		{files(0, 400), 0, "day9", 10, false},
		{files(30, 40), 0, "day8", 10, false},
		{files(380, 390), 0, "", 0, true},
		{files(400, 500), 0, "", 0, true},
	} {
		got, gone, err := lacking(all, at(10, c.lost, "here"), c.given, holds)
		if err != nil {
			t.Fatal(err)
		}
		if gone != c.gone || (got == nil) != (c.want == "") || got != nil && (got.Earlier.ID != c.want || got.Kept != c.kept) {
			t.Errorf("lost %v: %v, gone for good: %v; want %q, %v", c.lost, got, gone, c.want, c.gone)
		}
	}
	broken := errors.New("the repository cannot be reached")
	if _, _, err := lacking(all, at(10, files(0, 25), "here"), 0, func(backup.Snapshot, []string) (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("of a repository that is gone: %v", err)
	}
}

// TestWhereABackupGoes: into the places of this host, wherever it was on the other one.
func TestWhereABackupGoes(t *testing.T) {
	dir := t.TempDir()
	me, err := user.Current()
	must(t, err)
	link := filepath.Join(dir, "mattermost")
	data, config := filepath.Join(dir, "state", "data"), filepath.Join(dir, "etc", "config.json")
	touch(t, data, "something")
	op := &Operation{
		Choice: release.Choice{Next: &release.Release{Edition: release.Team}},
		Facts: &mattermost.Installation{Link: link, Config: &mattermost.Config{Path: config}, Unit: &mattermost.Unit{User: me.Username},
			Places: []mattermost.Place{{Name: "data", Target: data}, {Name: "plugins", Target: filepath.Join(dir, "state", "plugins")}}},
		restore: &backup.Snapshot{Manifest: backup.Manifest{Places: []backup.Place{
			{Name: "data", Path: "/srv/old/data"}, {Name: "plugins", Path: "/opt/old/plugins"}, {Name: "config.json", Path: "/etc/old.json"},
			{Name: "brand", Path: "/opt/old/brand", Custom: true}, {Name: "files", Path: filepath.Join(dir, "attachments")},
		}}},
	}
	want := []struct {
		path  string
		fresh bool
	}{{data, false}, {filepath.Join(dir, "state", "plugins"), true}, {config, true}, {filepath.Join(dir, "townsquare", "custom", "brand"), true}, {filepath.Join(dir, "attachments"), true}}
	list, foreign := exchanges(op, "run")
	if len(foreign) > 0 {
		t.Error(foreign)
	}
	for i, e := range list {
		if e.Path != want[i].path || e.Fresh != want[i].fresh || filepath.Dir(stagingOf(e)) != filepath.Dir(e.Path) ||
			!strings.HasPrefix(e.Staged, stagingOf(e)+"/") || filepath.Base(stagingOf(e)) != stagingPrefix+"run" {
			t.Errorf("%+v", e)
		}
	}
	run := &state.Run{ID: "run", Exchanges: list[:2]}
	touch(t, filepath.Dir(data), stagingPrefix+"run/before/data/x", stagingPrefix+"other/x")
	if err := removeStaging(run); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(data), ".*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != stagingPrefix+"other" {
		t.Errorf("%v, %v", left, err)
	}
}

// A place may be a link to another disk, but not to what is not the service's: its user could have
// made that link, to have root put something in the place of the system's.
func TestRestoreFollowsNoLinkAway(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	state, disk := filepath.Join(root, "state"), filepath.Join(root, "disk")
	touch(t, disk, "posts")
	touch(t, state, "config.json")
	foreign := "/usr"
	if os.Geteuid() == 0 { // whose that is
		foreign = filepath.Join(root, "foreign")
		touch(t, foreign, "passwords")
		if err := os.Chown(foreign, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"data": disk, "plugins": foreign} {
		if err := os.Symlink(target, filepath.Join(state, name)); err != nil {
			t.Fatal(err)
		}
	}
	op := &Operation{
		Choice: release.Choice{Next: &release.Release{Edition: release.Team}},
		Facts: &mattermost.Installation{Link: filepath.Join(root, "mattermost"), Unit: &mattermost.Unit{User: me.Username},
			Places: []mattermost.Place{{Name: "data", Target: filepath.Join(state, "data")}, {Name: "plugins", Target: filepath.Join(state, "plugins")}}},
		restore: &backup.Snapshot{Manifest: backup.Manifest{Places: []backup.Place{{Name: "data", Path: "/srv/data"}, {Name: "plugins", Path: "/srv/plugins"}}}},
	}
	list, found := exchanges(op, "run")
	if list[0].Path != disk || len(found) != 1 || found[0].Where != filepath.Join(state, "plugins") {
		t.Errorf("%+v, %v", list, found)
	}
	op.Facts.Places[1].Target = filepath.Join(state, "later", "plugins")
	if list, found = exchanges(op, "run"); list[1].Path != op.Facts.Places[1].Target || !list[1].Fresh || len(found) > 0 {
		t.Errorf("what is not there yet: %+v, %v", list[1], found)
	}
}

func TestRenumber(t *testing.T) {
	if swapped(1001, 1001, 990) != 990 || swapped(0, 1001, 990) != -1 {
		t.Error("what is root's would become the service's, or the other way round")
	}
	dir := t.TempDir()
	touch(t, dir, "a/b")
	uid, gid := os.Geteuid(), os.Getegid()
	if err := renumber(dir, uid, gid+1, uid, gid); err != nil { // to whom it belongs already: anybody may
		t.Error(err)
	}
	if err := renumber(filepath.Join(dir, "none"), 1, 1, 2, 2); err == nil {
		t.Error("nothing was found")
	}
}

func TestSite(t *testing.T) {
	f := &mattermost.Installation{SiteURL: "https://old.example.org/chat"}
	if s := BackupSite(state.Config{URL: "https://chat.example.org:8443"}, f); s != "chat.example.org" {
		t.Error(s)
	}
	if s := BackupSite(state.Config{}, f); s != "old.example.org" {
		t.Error(s)
	}
	if s := BackupSite(state.Config{}, nil); s == "" {
		t.Error("a host without an address has no name")
	}
}
