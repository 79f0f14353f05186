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
	catalog := &release.Catalog{}
	for _, s := range offered {
		catalog.Releases = append(catalog.Releases, release.Release{Version: version(t, s), Edition: release.Team, Arch: "amd64", SHA256: "x"})
	}
	op.Record, op.Arch, op.Emit = &state.State{}, "amd64", func(Event) {}
	op.Facts = &mattermost.Installation{Edition: release.Team}
	if installed != "" {
		op.Facts.Version, op.Facts.Link = version(t, installed), "/opt/mattermost"
	}
	return op.choose(catalog)
}

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
		op := &Operation{Options: Options{Unattended: true}, Config: state.Config{Track: "latest", Automatic: c.automatic}}
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
		op := &Operation{Options: o, Config: state.Config{Track: "latest"}}
		if err := chosen(t, op, "9.10.0", "9.10.0", "9.11.0"); err != nil || op.Choice.Next.Version.String() != "9.11.0" {
			t.Errorf("%+v: %+v, %v", o, op.Choice, err)
		}
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
