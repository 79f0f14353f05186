package host

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/state"
)

// systemd answers systemctl show from what it knows of units, and keeps what else it is told.
type systemd struct {
	units map[string]string // properties by unit; a unit that is missing here is not loaded
	told  []string
}

func (d *systemd) run(_ context.Context, c Command) ([]byte, error) {
	if c.Args[0] != "show" {
		d.told = append(d.told, strings.Join(c.Args, " "))
		return nil, nil
	}
	var blocks []string
	for _, unit := range c.Args[1:] {
		if strings.HasPrefix(unit, "--") {
			continue
		}
		facts, known := d.units[unit]
		if !known {
			facts = "LoadState=not-found\nActiveState=inactive\n"
		}
		blocks = append(blocks, "Id="+unit+"\n"+facts)
	}
	return []byte(strings.Join(blocks, "\n")), nil
}

const (
	isOn  = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nNextElapseUSecRealtime=Sun 2026-12-06 07:31:31 UTC\n"
	isOff = "LoadState=loaded\nUnitFileState=disabled\nActiveState=inactive\nNextElapseUSecRealtime=\n"
)

// on makes systemd know these timers as on.
func (d *systemd) on(timers []Timer) {
	d.units = map[string]string{}
	for _, t := range timers {
		d.units[t.Name+".timer"] = isOn
		d.units[serviceOf(t.Name)] = "LoadState=loaded\nActiveState=inactive\nResult=success\nExecMainStartTimestamp=\nDescription=Townsquare: " + t.Title + "\n"
	}
}

// A timer is on when systemd says so, whatever its file says.
func TestTimersThatWereSwitchedOff(t *testing.T) {
	want := TimersOf(state.Config{Backup: state.Backups{Repository: "/srv/backup"}})
	for name, off := range map[string]struct{ facts, why string }{
		"switched off":           {isOff, "is switched off"},
		"stopped":                {strings.Replace(isOn, "=active", "=inactive", 1), "is stopped"},
		"not enabled":            {strings.Replace(isOn, "=enabled", "=disabled", 1), "is not enabled at boot"},
		"without a next run":     {strings.Replace(isOn, "Sun 2026-12-06 07:31:31 UTC", "", 1), "has no next run"},
		"failed":                 {strings.Replace(isOn, "=active", "=failed", 1), "is stopped"},
		"masked for this uptime": {"LoadState=masked\nUnitFileState=masked-runtime\nActiveState=inactive\n", "is masked"},
	} {
		t.Run(name, func(t *testing.T) {
			root, d := t.TempDir(), &systemd{}
			s := Service{Run: d.run}
			if _, err := s.SetTimers(t.Context(), root, want); err != nil {
				t.Fatal(err)
			}
			d.on(want)
			d.units["townsquare-backup.timer"] = off.facts
			got, err := s.Timers(t.Context(), root, want)
			if err != nil {
				t.Fatal(err)
			}
			for _, timer := range got {
				why := ""
				if timer.Name == "townsquare-backup" {
					why = off.why
				}
				if timer.Off() != why {
					t.Errorf("%s: %q, want %q", timer.Name, timer.Off(), why)
				}
			}
			d.told = nil
			changed, err := s.SetTimers(t.Context(), root, want)
			if err != nil || !slices.Equal(changed, []string{"townsquare-backup"}) {
				t.Errorf("changed %q, %v", changed, err)
			}
			if !slices.Contains(d.told, "enable --quiet townsquare-backup.timer") || !slices.Contains(d.told, "restart townsquare-backup.timer") {
				t.Errorf("told %q", d.told)
			}
		})
	}
}

// A timer whose files are gone is as silent as one that was never there.
func TestTimersThatAreMissing(t *testing.T) {
	want, d := TimersOf(state.Config{}), &systemd{}
	got, err := (Service{Run: d.run}).Timers(t.Context(), t.TempDir(), want)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, timer := range got {
		if timer.Off() != "is missing" || timer.Title == "" {
			t.Errorf("%+v", timer)
		}
	}
}

// The stamp of Persistent= is as old as the timer, not as a run.
func TestLastRun(t *testing.T) {
	root, want, d := t.TempDir(), TimersOf(state.Config{})[:1], &systemd{}
	s := Service{Run: d.run}
	if _, err := s.SetTimers(t.Context(), root, want); err != nil {
		t.Fatal(err)
	}
	d.on(want)
	d.units["townsquare-check.timer"] += "LastTriggerUSec=Tue 2026-12-01 02:43:00 UTC\n"
	last := func() TimerStatus {
		t.Helper()
		got, err := s.Timers(t.Context(), root, want)
		if err != nil || len(got) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		return got[0]
	}
	if got := last(); !got.Last.IsZero() || got.Failed {
		t.Errorf("it never ran: %+v", got)
	}
	ran := "LoadState=loaded\nActiveState=failed\nResult=timeout\nExecMainStartTimestamp=Tue 2026-12-01 07:02:00 UTC\n"
	d.units["townsquare-check.service"] = ran
	at := time.Date(2026, 12, 1, 7, 2, 0, 0, time.UTC)
	if got := last(); !got.Last.Equal(at) || !got.Failed {
		t.Errorf("it ran out of time: %+v", got)
	}
	if err := s.NoteRun(t.Context(), root, "townsquare-check.service", "timeout"); err != nil {
		t.Fatal(err)
	}
	d.on(want) // the server has booted
	if got := last(); !got.Last.Equal(at) || !got.Failed {
		t.Errorf("after a boot: %+v", got)
	}
	unit, err := os.ReadFile(filepath.Join(root, unitDir, "townsquare-check.service"))
	if err != nil || !strings.Contains(string(unit), "ExecStopPost=-"+Upgrader+" host ran townsquare-check.service\n") {
		t.Errorf("%s, %v", unit, err)
	}
}

// A recovery that is not enabled at boot is none.
func TestGuardEnablesTheRecovery(t *testing.T) {
	root, d := t.TempDir(), &systemd{units: map[string]string{}}
	s := Service{Run: d.run}
	guard := func() []string {
		t.Helper()
		d.told = nil
		if err := s.Guard(t.Context(), root, "mattermost.service"); err != nil {
			t.Fatal(err)
		}
		return d.told
	}
	first := guard()
	d.units[RecoveryUnit] = "LoadState=loaded\nUnitFileState=enabled\n"
	if told := guard(); len(told) > 0 {
		t.Errorf("it is as it should be: %q", told)
	}
	d.units[RecoveryUnit] = "LoadState=loaded\nUnitFileState=disabled\n"
	if diff := cmp.Diff(first, guard()); diff != "" {
		t.Errorf("switched off: %s", diff)
	}
}
