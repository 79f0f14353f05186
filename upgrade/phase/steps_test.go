package phase

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

func touch(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The plan is the beginning of the operation itself, so that it cannot promise anything else.
func TestApplyBeginsWithPlan(t *testing.T) {
	titles := func(phases []Phase) (all []string) {
		for _, p := range phases {
			all = append(all, p.Title())
		}
		return all
	}
	apply, plan, check := titles(Apply()), titles(Plan()), titles(Check())
	if diff := cmp.Diff(plan, apply[:len(plan)]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(check, plan[:len(check)]); diff != "" {
		t.Error(diff)
	}
	for _, p := range Plan() {
		if _, changes := p.(Undoer); changes {
			t.Errorf("%q is part of the plan and has something to undo", p.Title())
		}
	}
	for _, p := range Apply()[len(plan):] {
		if _, ok := p.(Describer); !ok {
			t.Errorf("%q cannot say what it would do", p.Title())
		}
	}
}

func TestBooted(t *testing.T) {
	dir := t.TempDir()
	env, ready := filepath.Join(dir, "host.env"), filepath.Join(dir, "ready")
	if err := booted(env, ready); err != nil {
		t.Errorf("a host that is not ours: %v", err)
	}
	touch(t, dir, "host.env")
	var list problem.List
	if err := booted(env, ready); !errors.As(err, &list) || !strings.Contains(list[0].Hint, "cloud-init status") {
		t.Errorf("still booting: %v", err)
	}
	touch(t, dir, "ready")
	if err := booted(env, ready); err != nil {
		t.Errorf("booted: %v", err)
	}
}

func TestPolicy(t *testing.T) {
	op := &Operation{Arch: "amd64", Record: &state.State{Bad: map[string]state.Bad{"9.10.0": {Since: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Reason: "it exits"}}},
		Config: state.Config{Track: "latest", Edition: "enterprise", Skip: map[string]string{"9.9.0": "ours"}},
		Facts:  &mattermost.Installation{Edition: release.Team}}
	want := release.Policy{Edition: release.Enterprise, Track: "latest", Arch: "amd64",
		Skip: map[string]string{"9.9.0": "ours"}, Failed: map[string]string{"9.10.0": "it failed here on 2026-11-22: it exits"}}
	op.Facts.Edition = ""
	if diff := cmp.Diff(want, policy(op)); diff != "" {
		t.Error(diff)
	}
	op.Facts.Edition = release.Team
	// What is installed decides the edition, whatever the configuration says.
	version, err := release.Parse("7.7.0")
	if err != nil {
		t.Fatal(err)
	}
	op.Facts.Version, op.Retry = version, true
	if got := policy(op); got.Edition != release.Team || len(got.Skip) != 1 || len(got.Failed) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestRoom(t *testing.T) {
	disks := map[string]struct {
		free, inodes uint64
		id           int
	}{"/": {1000 << 20, 100, 1}, "/srv": {50 << 20, 1 << 20, 2}}
	space := func(dir string) (uint64, uint64, any, error) {
		d, ok := disks[dir]
		if !ok {
			return 0, 0, nil, fs.ErrNotExist
		}
		return d.free, d.inodes, d.id, nil
	}
	r := &room{}
	r.need("/opt/x", 600<<20, 0, "a version")
	r.need("/var/y", 300<<20, 0, "a dump")
	r.need("/srv/z", 10<<20, 0, "a copy")
	if found, err := r.problems(space); err != nil || len(found) != 0 {
		t.Errorf("enough: %v, %v", found, err)
	}
	r.need("/var/y", 101<<20, 200, "another")
	r.need("/srv/z", 41<<20, 0, "another")
	found, err := r.problems(space)
	if err != nil || len(found) != 3 {
		t.Fatalf("%v, %v", found, err)
	}
	if !strings.Contains(found.Error(), "1001 MB, for a version, a dump, another") || !strings.Contains(found.Error(), "100 inodes free") ||
		!strings.Contains(found.Error(), "51 MB, for a copy, another") {
		t.Errorf("%v", found)
	}
}

func TestExposed(t *testing.T) {
	_, boot := host.Process()
	stopped, opened := time.Now().Add(-time.Hour), time.Now()
	for name, c := range map[string]struct {
		run  state.Run
		want time.Time
	}{
		"behind the gate":          {state.Run{BootID: boot, StoppedAt: stopped}, time.Time{}},
		"opened":                   {state.Run{BootID: boot, StoppedAt: stopped, OpenedAt: opened}, opened},
		"rebooted behind the gate": {state.Run{BootID: "another", StoppedAt: stopped}, stopped},
		"rebooted when open":       {state.Run{BootID: "another", StoppedAt: stopped, OpenedAt: opened}, opened},
	} {
		if got := exposed(&c.run); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// An undo of a step whose run never stopped the service touches nothing: no unit, no file.
func TestUndoBeforeStop(t *testing.T) {
	op := &Operation{Record: &state.State{Run: &state.Run{ID: "x", Unit: "none.service", Link: "/nowhere", AdoptedFrom: "/nowhere/else", NewTarget: "/nowhere/new",
		ConfigCopy: "/nowhere/copy", Checkpoint: "none"}}, Save: func() error { return errors.New("saved") }, Emit: func(Event) {}}
	for _, p := range Apply() {
		if u, ok := p.(Undoer); ok {
			if err := u.Undo(t.Context(), op); err != nil {
				t.Errorf("%s: %v", p.Title(), err)
			}
		}
	}
}

// Swap goes there and back over an adopted directory, from the record alone.
func TestSwapAndBack(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "mattermost")
	touch(t, dir, "mattermost/bin/mattermost", "mattermost/data/file", "mattermost/tls/key", "townsquare/versions/new/bin/mattermost")
	run := &state.Run{Stopped: true, Link: link, NewTarget: filepath.Join(dir, "townsquare/versions/new"), AdoptedFrom: filepath.Join(dir, "townsquare/versions/old"),
		Moves: []state.Move{{From: link + "/data", To: dir + "/state/data"}, {From: link + "/tls", To: dir + "/townsquare/custom/tls"}}}
	facts := &mattermost.Installation{Link: link, Plain: true, Places: []mattermost.Place{
		{Name: "data", Target: dir + "/state/data", Move: true}, {Name: "tls", Target: dir + "/townsquare/custom/tls", Move: true, Custom: true}}}
	op := &Operation{Record: &state.State{Run: run}, Facts: facts, Emit: func(Event) {}, Save: func() error { return nil }}
	if err := mattermost.Furnish(run.NewTarget, "nobody", facts.Places); err != nil {
		t.Fatal(err)
	}
	read := func(want bool, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if _, err := os.ReadFile(filepath.Join(dir, path)); (err == nil) != want {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for range 2 {
		if err := (Swap{}).Run(t.Context(), op); err != nil {
			t.Fatal(err)
		}
		if target, err := os.Readlink(link); err != nil || target != run.NewTarget {
			t.Fatalf("leads to %q, %v", target, err)
		}
		read(true, "mattermost/data/file", "mattermost/tls/key", "townsquare/versions/old/data/file", "state/data/file")
		op.Facts = nil // after a power cut nobody knows
		for range 2 {
			if err := (Swap{}).Undo(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
		op.Facts = facts
		if info, err := os.Lstat(link); err != nil || !info.IsDir() {
			t.Fatalf("%v, %v", info, err)
		}
		read(true, "mattermost/data/file", "mattermost/tls/key")
		read(false, "state/data/file", "townsquare/versions/old/bin/mattermost")
	}
}

func TestPruneFiles(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "20260101T000000Z-apply.dump", "20260101T000000Z-apply.config.json", "20260201T000000Z-apply.dump", "20260201T000000Z-apply-stopped.dump",
		"20260301T000000Z-apply.dump")
	if err := pruneFiles(dir, "20260301T000000Z-apply"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{"20260201T000000Z-apply-stopped.dump", "20260201T000000Z-apply.dump", "20260301T000000Z-apply.dump"}, left); diff != "" {
		t.Error(diff)
	}
	if err := pruneFiles(filepath.Join(dir, "none"), "x"); err != nil {
		t.Error(err)
	}
}

func TestKeptSaysWhatToType(t *testing.T) {
	e := &kept{why: errors.New("no plan"), since: time.Now(), written: list(map[string]int{"posts": 3, "fileinfo": 1}),
		run: state.Run{Unit: "mattermost.service", To: "9.10.0", CheckpointComplete: true}}
	if !strings.Contains(e.Error(), "1 file, 3 posts") {
		t.Error(e)
	}
	var hint interface{ Hint() string }
	if !errors.As(errors.Join(e, errors.New("other")), &hint) {
		t.Fatal("no hint")
	}
	if got := hint.Hint(); !strings.Contains(got, "upgrade rollback --way checkpoint") {
		t.Errorf("the hint is %q", got)
	}
	e.run.Way = WayCheckpoint // from there nothing leads back by this command
	if got := e.Hint(); strings.Contains(got, "rollback") {
		t.Errorf("the hint of a rollback is %q", got)
	}
}

// After a power cut the old version may serve already, and is then left alone.
func TestLeadsToOld(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "mattermost")
	touch(t, dir, "old/x", "new/x")
	run := &state.Run{Link: link, OldTarget: filepath.Join(dir, "old"), NewTarget: filepath.Join(dir, "new")}
	for target, want := range map[string]bool{"old": true, "new": false} {
		if err := mattermost.Point(link, filepath.Join(dir, target)); err != nil {
			t.Fatal(err)
		}
		if got := leadsToOld(run); got != want {
			t.Errorf("%s: %v", target, got)
		}
	}
	adopted := &state.Run{Link: link, AdoptedFrom: filepath.Join(dir, "kept")}
	if leadsToOld(adopted) {
		t.Error("a link is no directory of long ago")
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	touch(t, dir, "mattermost/x")
	if !leadsToOld(adopted) {
		t.Error("the plain directory is there again")
	}
	if leadsToOld(&state.Run{Link: filepath.Join(dir, "none")}) {
		t.Error("before a first installation there is nothing old")
	}
}

// Nobody was let in when the record could not be written, so everything may go back.
func TestOpenWithoutRoomOnTheDisk(t *testing.T) {
	full := errors.New("no space left on device")
	op := &Operation{Record: &state.State{Run: &state.Run{Stopped: true}}, Save: func() error { return full }, Emit: func(Event) {}}
	if err := (Open{}).Run(t.Context(), op); !errors.Is(err, full) || !op.Record.Run.OpenedAt.IsZero() {
		t.Errorf("%v, opened at %s", err, op.Record.Run.OpenedAt)
	}
	op.Facts = &mattermost.Installation{}
	if err := (Commit{}).Run(t.Context(), op); !errors.Is(err, full) || op.Record.Run.Committed {
		t.Errorf("%v, committed %v", err, op.Record.Run.Committed)
	}
}

func TestByHand(t *testing.T) {
	before := mattermost.Status{Active: "active", PID: 7, Result: "success"}
	for name, c := range map[string]struct {
		now  mattermost.Status
		want bool
	}{
		"the same":           {before, false},
		"restarted in order": {mattermost.Status{Active: "active", PID: 8, Result: "success"}, true},
		"systemd restarted":  {mattermost.Status{Active: "active", PID: 8, Result: "success", Restarts: 1}, false},
		"crashed":            {mattermost.Status{Active: "activating", Sub: "auto-restart", Result: "exit-code", Code: 2}, false},
	} {
		if got := byHand(before, c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
