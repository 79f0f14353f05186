package phase

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// unrolling is how a rollback may stand when it is to be undone.
type unrolling struct {
	way    string
	taken  bool // the database went back
	opened bool // users were let in
	posts  int  // that they wrote then
	want   int  // the schema afterwards: 101 is the newer version's
	keeps  bool // their posts are there
	stays  bool // the version before stays, as only it has them
	dumped bool // the upgrade had kept the database as a dump, and a copy can be made by now
}

// TestUnroll undoes a rollback from every point on a real database: what the newer version had comes
// back, unless people have written meanwhile and would lose it.
func TestUnroll(t *testing.T) {
	socket, _ := pgtest.Start(t)
	number := 0
	for name, u := range map[string]unrolling{
		"downgrade, not begun":            {way: WayDowngrade, want: 101},
		"downgrade, done":                 {way: WayDowngrade, taken: true, want: 101},
		"downgrade, open, posts":          {way: WayDowngrade, taken: true, opened: true, posts: 3, want: 100, keeps: true}, // the newer version migrates it again
		"checkpoint, not begun":           {way: WayCheckpoint, want: 101},
		"checkpoint, in place":            {way: WayCheckpoint, taken: true, want: 101},
		"checkpoint, open, nobody writes": {way: WayCheckpoint, taken: true, opened: true, want: 101},
		"dump, not begun":                 {way: WayCheckpoint, dumped: true, want: 101},
		"dump, in place":                  {way: WayCheckpoint, dumped: true, taken: true, want: 101},
		"dump, open, nobody writes":       {way: WayCheckpoint, dumped: true, taken: true, opened: true, want: 101},
		"checkpoint, open, posts":         {way: WayCheckpoint, taken: true, opened: true, posts: 3, want: 100, keeps: true, stays: true},
	} {
		number++
		t.Run(name, func(t *testing.T) { u.try(t, socket, fmt.Sprintf("back%d", number)) })
	}
}

func (u unrolling) try(t *testing.T, socket, database string) {
	ctx := t.Context()
	db, exec := community(t, socket, database)
	admin, err := findAdmin(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-time.Minute)
	old := mattermost.CheckpointName(database, began.Add(-time.Hour)) // of the upgrade
	if err := admin.Checkpoint(ctx, old); err != nil {
		t.Fatal(err)
	}
	exec(database, "insert into db_migrations values (101)", "insert into posts (updateat) values (2)") // by the newer version
	_, boot := host.Process()
	run := &state.Run{From: "9.10.0", To: "7.7.0", Started: began, StoppedAt: began, BootID: boot, Stopped: true, Way: u.way, Changed: true,
		Checkpoint: mattermost.CheckpointName(database, began), CheckpointComplete: true, SchemaBefore: "db_migrations:2:101"}
	op := &Operation{Record: &state.State{Run: run}, Emit: func(Event) {}, Save: func() error { return nil }}
	if u.way == WayCheckpoint && !u.dumped {
		run.Kept = old
	} else {
		run.Migrates = true
		if err := admin.Checkpoint(ctx, run.Checkpoint); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case u.taken && u.dumped: // by restoring a dump of it
		exec(database, "delete from db_migrations where version = 101", "delete from posts where updateat = 2")
	case u.taken && u.way == WayCheckpoint:
		if err := admin.PutBack(ctx, old, run.Checkpoint); err != nil {
			t.Fatal(err)
		}
	case u.taken:
		exec(database, "delete from db_migrations where version = 101")
	}
	if u.opened {
		run.OpenedAt = began.Add(time.Second)
	}
	for range u.posts {
		exec(database, "insert into posts (updateat) values (extract(epoch from now()) * 1000)")
	}
	for range 2 { // once more, as after an interruption
		err = unrollDatabase(ctx, op, db)
		var k *kept
		if u.stays != errors.As(err, &k) || !u.stays && err != nil {
			t.Errorf("got %v", err)
		}
	}
	now, err := db.AppliedMigrations(ctx)
	if err != nil || mattermost.LastMigration(now) != u.want {
		t.Errorf("the schema is %s (%v)", now, err)
	}
	written, err := db.Written(ctx, began)
	if err != nil || (written["posts"] == u.posts && u.posts > 0) != u.keeps {
		t.Errorf("posts there: %v of %d (%v)", written, u.posts, err)
	}
	if u.want == 101 {
		if rows, err := db.CountAll(ctx); err != nil || rows.Of("posts") != 2 {
			t.Errorf("of what the newer version had: %v (%v)", rows, err)
		}
	}
}

// The record after an upgrade names the way back; after a rollback there is none, and the version
// that a person left is not taken again by itself.
func TestConclude(t *testing.T) {
	record := &state.State{Bad: map[string]state.Bad{"9.10.0": {Reason: "it hung once"}}}
	opened := time.Now()
	conclude(record, &state.Run{ID: "a", From: "7.7.0", To: "9.10.0", OldTarget: "/old", OpenedAt: opened, SchemaBefore: "s", Migrates: true,
		Plan: "/plan", Checkpoint: "copy", CheckpointComplete: true, ConfigCopy: "/config"})
	want := &state.Return{Run: "a", From: "7.7.0", To: "9.10.0", Dir: "/old", Since: opened, Schema: "s", Migrated: true, Plan: "/plan", Checkpoint: "copy", Config: "/config"}
	if diff := cmp.Diff(want, record.Return); diff != "" || len(record.Bad) > 0 || record.Active != "9.10.0" {
		t.Errorf("%s\n%+v", diff, record)
	}
	op := &Operation{Record: record, Facts: &mattermost.Installation{Edition: release.Team}}
	conclude(record, &state.Run{ID: "b", From: "9.10.0", To: "7.7.0", Way: WayDowngrade})
	if record.Return != nil || record.Active != "7.7.0" || record.Bad["9.10.0"].Reason != rolledBackByHand {
		t.Errorf("%+v", record)
	}
	if reason := policy(op).Failed["9.10.0"]; !strings.HasPrefix(reason, "rolled back by hand on ") {
		t.Errorf("skipped: %q", reason)
	}
	conclude(record, &state.Run{To: "7.7.0"})
	if record.Return != nil {
		t.Error("a first installation has no way back")
	}
}

func TestNoReturn(t *testing.T) {
	version, err := release.Parse("9.10.0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	touch(t, dir, "bin/mattermost")
	installed := func() *mattermost.Installation {
		return &mattermost.Installation{Version: version, Edition: release.Team}
	}
	back := func() *state.Return { return &state.Return{From: "7.7.0", To: "9.10.0", Edition: "team", Dir: dir} }
	for name, c := range map[string]struct {
		op   *Operation
		want string
	}{
		"there is one": {&Operation{Facts: installed(), Record: &state.State{Return: back()}}, ""},
		"first":        {&Operation{Facts: &mattermost.Installation{}, Record: &state.State{}}, "nothing is installed"},
		"none kept":    {&Operation{Facts: installed(), Record: &state.State{}}, "none is kept"},
		"by hand":      {&Operation{Facts: installed(), Record: &state.State{Return: &state.Return{From: "7.7.0", To: "9.9.0"}}}, "9.10.0 is installed"},
		"another":      {&Operation{Options: Options{To: "6.7.2"}, Facts: installed(), Record: &state.State{Return: back()}}, "6.7.2"},
		"edition": {&Operation{Facts: installed(), Record: &state.State{Return: &state.Return{From: "7.7.0", To: "9.10.0", Edition: "enterprise", Dir: dir}}},
			"enterprise edition"},
		"removed": {&Operation{Facts: installed(), Record: &state.State{Return: &state.Return{From: "7.7.0", To: "9.10.0", Edition: "team", Dir: dir + "/none"}}}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			got := noReturn(c.op)
			if (c.want == "") != (len(got) == 0) || c.want != "" && !strings.Contains(got.Error(), c.want) {
				t.Errorf("got %v, want %q", got, c.want)
			}
		})
	}
}

// Rows of what people made must all be there after a downgrade; what the newer version added may go.
func TestMissing(t *testing.T) {
	var warned []string
	op := &Operation{Emit: func(e Event) { warned = append(warned, e.Text) }}
	before := mattermost.Rows{"public.posts": 9, "public.channelbookmarks": 2, "public.db_migrations": 120, "public.users": 3}
	if err := missing(op, before, mattermost.Rows{"public.posts": 9, "public.db_migrations": 100, "public.users": 3}); err != nil || len(warned) != 1 {
		t.Errorf("%v, %q", err, warned)
	}
	if err := missing(op, before, mattermost.Rows{"public.posts": 8, "public.channelbookmarks": 2, "public.users": 3}); err == nil || !strings.Contains(err.Error(), "1 of 9 rows out of posts") {
		t.Error(err)
	}
}

func TestAvailableMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(path, []byte("MemTotal:  8000000 kB\nMemAvailable:    512000 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := availableMemory(path); err != nil || got != 512000<<10 {
		t.Error(got, err)
	}
}

// Before the lock nothing may be changed: neither by looking for a way back nor ahead.
func TestOnlyLooks(t *testing.T) {
	for name, sequence := range Operations() {
		for _, p := range sequence.All[:sequence.Looks] {
			if _, changes := p.(Undoer); changes {
				t.Errorf("%s: %q can be undone, so it changes something", name, p.Title())
			}
		}
	}
}

// Of the backups only those of this site and of an older version lead back, the newest of each.
func TestPickBackups(t *testing.T) {
	version, err := release.Parse("9.10.0")
	if err != nil {
		t.Fatal(err)
	}
	snapshot := func(id, version, site string) backup.Snapshot {
		return backup.Snapshot{ID: id, Manifest: backup.Manifest{Mattermost: version, Site: site}}
	}
	all := []backup.Snapshot{
		snapshot("a1", "9.10.0", "chat.example.org"), snapshot("b1", "9.9.0", "other.example.org"), snapshot("c1", "9.9.0", "chat.example.org"),
		snapshot("c2", "9.9.0", "chat.example.org"), snapshot("d1", "7.7.0", "chat.example.org"),
	}
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{}, "c1 d1"},
		{Options{To: "7.7.0"}, "d1"},
		{Options{Way: "backup=c2"}, "c1 c2 d1"},
		{Options{To: "6.7.2"}, ""},
	} {
		op := &Operation{Options: c.options, Config: state.Config{URL: "https://chat.example.org"}, Facts: &mattermost.Installation{Version: version}}
		var got []string
		for _, s := range pickBackups(op, all) {
			got = append(got, s.ID)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, want %s", c.options, got, c.want)
		}
	}
	op := &Operation{Options: Options{Way: "backup"}, Ways: []Way{{Name: WayDowngrade}, {Name: "backup=c1"}, {Name: "backup=d1"}}}
	for asked, want := range map[string]string{"backup": "backup=c1", "backup=d": "backup=d1", WayDowngrade: WayDowngrade} {
		if op.Way = asked; op.way() == nil || op.way().Name != want {
			t.Errorf("%s is %+v", asked, op.way())
		}
	}
	for _, none := range []string{"backup=x", "back", ""} {
		if op.Way = none; op.way() != nil {
			t.Errorf("%q is %+v", none, op.way())
		}
	}
}
