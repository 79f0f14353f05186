package phase

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

func version(t *testing.T, s string) release.Version {
	t.Helper()
	v, err := release.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// chosen is what Choose makes of a catalog in which some versions are to be had.
func chosen(t *testing.T, op *Operation, installed string, offered ...string) error {
	t.Helper()
	return choosing(t, op, installed, catalogOf(t, offered...))
}

func catalogOf(t *testing.T, offered ...string) *release.Catalog {
	t.Helper()
	catalog := &release.Catalog{}
	for _, s := range offered {
		catalog.Releases = append(catalog.Releases, release.Release{Version: version(t, s), Edition: release.Team, Arch: "amd64", SHA256: "x"})
	}
	return catalog
}

func choosing(t *testing.T, op *Operation, installed string, catalog *release.Catalog) error {
	t.Helper()
	op.Arch, op.Emit = "amd64", func(Event) {}
	if op.Record == nil {
		op.Record = &state.State{}
	}
	op.Facts = &mattermost.Installation{Edition: release.Team}
	if installed != "" {
		op.Facts.Version, op.Facts.Link = version(t, installed), "/opt/mattermost"
	}
	return op.choose(catalog)
}

const anyTime = "daily 00:00-24:00"

// TestAlone: unattended, only patches are installed unless the host's configuration says more.
func TestAlone(t *testing.T) {
	for _, c := range []struct {
		name, automatic, installed string
		offered                    []string
		to                         string // to install now; empty: nothing
		held                       bool
	}{
		{"a patch", "", "9.10.0", []string{"9.10.1"}, "9.10.1", false},
		{"a minor version", "", "9.10.0", []string{"9.11.0"}, "", true},
		{"a major version", "patch", "9.10.0", []string{"10.5.3"}, "", true},
		{"a patch while a minor version waits", "", "9.10.0", []string{"9.10.1", "9.11.0"}, "9.10.1", false},
		{"a minor version, allowed", "minor", "9.10.0", []string{"9.11.0"}, "9.11.0", false},
		{"a major version, where minor ones are allowed", "minor", "9.10.0", []string{"10.5.3"}, "", true},
		{"anything", "any", "9.10.0", []string{"10.5.3"}, "10.5.3", false},
		{"nothing new", "", "9.10.0", []string{"9.10.0"}, "", false},
		{"the first", "", "", []string{"9.10.0"}, "9.10.0", false},
	} {
		op := &Operation{Options: Options{Unattended: true}, Config: state.Config{Track: "latest", Automatic: c.automatic, Window: anyTime}}
		err := chosen(t, op, c.installed, append(c.offered, "7.1.9")...)
		var later *Later
		switch {
		case c.held:
			if !errors.As(err, &later) || !later.Person || later.code() != ExitAvailable || !strings.Contains(err.Error(), "waits for a person") {
				t.Errorf("%s: %v", c.name, err)
			}
		case c.to == "":
			if !errors.Is(err, Done) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil || op.Choice.Next.Version.String() != c.to:
			t.Errorf("%s: %+v, %v", c.name, op.Choice, err)
		}
	}
	// With somebody there, or a version that somebody named, everything may be installed.
	for _, o := range []Options{{}, {Unattended: true, To: "9.11.0"}} {
		op := &Operation{Options: o, Config: state.Config{Track: "latest", Window: anyTime}}
		if err := chosen(t, op, "9.10.0", "9.10.0", "9.11.0"); err != nil || op.Choice.Next.Version.String() != "9.11.0" {
			t.Errorf("%+v: %+v, %v", o, op.Choice, err)
		}
	}
}

// Whoever looks, what waits is what the host may install by itself, and apart from it the larger step
// that waits for a person: its security fixes hurry nobody.
func TestWhatWaits(t *testing.T) {
	fix := time.Now().UTC().AddDate(0, 0, -40).Truncate(time.Second)
	for _, c := range []struct {
		name        string
		options     Options
		offered     []string
		fixes       string // the version that has a security fix
		own, larger string
		security    bool
	}{
		{"a larger step, by a check", Options{}, []string{"9.11.0"}, "9.11.0", "", "Mattermost 9.11.0", false},
		{"a larger step, unattended", Options{Unattended: true}, []string{"9.11.0"}, "9.11.0", "", "Mattermost 9.11.0", false},
		{"a patch as well", Options{}, []string{"9.10.1", "9.11.0"}, "9.11.0", "Mattermost 9.10.1", "Mattermost 9.11.0", false},
		{"a patch with a fix", Options{Unattended: true}, []string{"9.10.1", "9.11.0"}, "9.10.1", "Mattermost 9.10.1", "Mattermost 9.11.0", true},
		{"a plan for the larger step", Options{To: "9.11.0"}, []string{"9.10.1", "9.11.0"}, "9.11.0", "Mattermost 9.10.1", "Mattermost 9.11.0", false},
		{"nothing", Options{}, []string{"9.10.0"}, "9.10.0", "", "", false},
	} {
		path := filepath.Join(t.TempDir(), "pending.json")
		op := &Operation{Options: c.options, Config: state.Config{Track: "latest", Window: anyTime},
			Pending: func(kind schedule.Kind, p state.Pending) (state.Pending, error) {
				return state.NotePending(path, kind, p)
			}}
		catalog := catalogOf(t, c.offered...)
		for i, r := range catalog.Releases {
			if r.Version.String() == c.fixes {
				catalog.Releases[i].Security, catalog.Releases[i].Published = true, fix
			}
		}
		_ = choosing(t, op, "9.10.0", catalog) // what it may do now is not the question
		waits, err := state.LoadPending(path)
		own, larger := waits[schedule.Upgrade], waits[schedule.Larger]
		if err != nil || own.What != c.own || larger.What != c.larger || own.Security.Equal(fix) != c.security {
			t.Errorf("%s: %+v, %v", c.name, waits, err)
		}
	}
}

// A version that is skipped waits for nothing, also while it is tried again on request; that it is held is
// known, and so is the end of support.
func TestWhatIsHeld(t *testing.T) {
	for name, o := range map[string]Options{"a check": {}, "a plan for it": {To: "9.11.0", Retry: true}} {
		path := filepath.Join(t.TempDir(), "pending.json")
		op := &Operation{Options: o, Config: state.Config{Track: "latest", Window: anyTime},
			Record: &state.State{Bad: map[string]state.Bad{"9.11.0": {Since: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Reason: rolledBackByHand}}},
			Pending: func(kind schedule.Kind, p state.Pending) (state.Pending, error) {
				return state.NotePending(path, kind, p)
			}}
		catalog := catalogOf(t, "9.10.0", "9.11.0")
		for i, r := range catalog.Releases {
			if r.Version.String() == "9.10.0" {
				catalog.Releases[i].EndOfLife = time.Date(2023, 4, 15, 0, 0, 0, 0, time.UTC)
			}
		}
		_ = choosing(t, op, "9.10.0", catalog)
		waits, err := state.LoadPending(path)
		if err != nil || len(waits) != 2 || waits[schedule.Held].What != "9.11.0 is skipped ("+rolledBackByHand+" on 2026-12-01)" ||
			waits[schedule.Unsupported].What != "9.10.0 reached end of life on 2023-04-15" {
			t.Errorf("%s: %+v, %v", name, waits, err)
		}
		var plan Preview
		plan.choice(op)
		if o.To == "" && (!plan.Behind() || plan.Held[0].Kind != release.HeldFailed || plan.Ended != "2023-04-15") {
			t.Errorf("%s: %+v", name, plan)
		}
	}
}

// Packages that were installed wait no more.
func TestInstalledPackagesDoNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pending.json")
	op, _ := systemOp(t, nil)
	op.Record.Run.System.Installed = true
	op.Pending = func(kind schedule.Kind, p state.Pending) (state.Pending, error) {
		return state.NotePending(path, kind, p)
	}
	op.note(schedule.System, Waiting{What: "3 packages: openssl"})
	if err := op.tidyPackages(t.Context()); err != nil {
		t.Fatal(err)
	}
	if waits, err := state.LoadPending(path); err != nil || len(waits) > 0 {
		t.Errorf("%+v, %v", waits, err)
	}
}

// What is installed waits no more; the larger step beside it does, and so does what lies behind a stop.
func TestArrived(t *testing.T) {
	for _, c := range []struct {
		to            string
		options       Options
		upgrade, step bool // whether they wait still
	}{
		{"9.10.1", Options{Unattended: true}, false, true},
		{"9.11.0", Options{}, false, false},
		{"9.10.0", Options{}, true, true},
	} {
		path := filepath.Join(t.TempDir(), "pending.json")
		op := &Operation{Options: c.options, Config: state.Config{Track: "latest", Window: anyTime},
			Pending: func(kind schedule.Kind, p state.Pending) (state.Pending, error) {
				return state.NotePending(path, kind, p)
			}}
		if err := chosen(t, op, "9.10.0", "9.10.1", "9.11.0"); err != nil {
			t.Fatal(err)
		}
		op.arrived(c.to)
		waits, err := state.LoadPending(path)
		_, upgrade := waits[schedule.Upgrade]
		_, step := waits[schedule.Larger]
		if err != nil || upgrade != c.upgrade || step != c.step {
			t.Errorf("on %s: %+v, %v", c.to, waits, err)
		}
	}
}

// A security fix that waits for a person opens no night for the patch beside it.
func TestNoHurryForAPerson(t *testing.T) {
	now := time.Now().UTC()
	op := &Operation{Options: Options{Unattended: true},
		Config: state.Config{Track: "latest", Window: now.AddDate(0, 0, 3).Format("Mon") + " 12:00-13:00", SecurityWithin: time.Hour}}
	catalog := catalogOf(t, "9.10.1", "9.11.0")
	catalog.Releases[1].Security, catalog.Releases[1].Published = true, now.AddDate(0, 0, -4)
	var later *Later
	if err := choosing(t, op, "9.10.0", catalog); !errors.As(err, &later) || later.Next.Sub(now) < 30*time.Hour {
		t.Errorf("%v", err)
	}
}

func TestDue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pending.json")
	now := time.Now().UTC()
	op := &Operation{Record: &state.State{}, Emit: func(Event) {}, Options: Options{Unattended: true},
		Config: state.Config{Window: now.AddDate(0, 0, 3).Format("Mon") + " 00:00-01:00", SecurityWithin: 72 * time.Hour},
		Pending: func(kind schedule.Kind, p state.Pending) (state.Pending, error) {
			return state.NotePending(path, kind, p)
		}}
	var later *Later
	if err := op.Due(schedule.System, Waiting{What: "1 package"}); !errors.As(err, &later) || later.Next.Sub(now) > 4*24*time.Hour {
		t.Errorf("before the window: %v", err)
	}
	// The fix is out for longer than it may wait: the next night will do, whichever day it is.
	err := op.Due(schedule.System, Waiting{What: "1 package", Security: true, Published: now.AddDate(0, 0, -5)})
	if err != nil && (!errors.As(err, &later) || later.Next.Sub(now) > 24*time.Hour) {
		t.Errorf("security: %v", err)
	}
	waits, err := state.LoadPending(path)
	if p := waits[schedule.System]; err != nil || p.What != "1 package" || p.Since.Before(now) || p.Security.After(now.AddDate(0, 0, -4)) {
		t.Errorf("%+v, %v", waits, err)
	}
	op.Unattended = false
	if err := op.Due(schedule.System, Waiting{What: "1 package"}); err != nil {
		t.Errorf("with somebody there: %v", err)
	}
	if err := op.Due(schedule.System, Waiting{}); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if waits, err = state.LoadPending(path); err != nil || len(waits) != 0 {
		t.Errorf("%+v, %v", waits, err)
	}
}
