package phase

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

// deferDBus gives the answers of a needrestart that defers D-Bus, as after an update of libexpat.
func deferDBus(answers map[string]string) {
	answers["-b -r l"] = "NEEDRESTART-SVC: dbus.service\n"
	answers["-l -r l"] = "Service restarts being deferred:\n systemctl restart dbus.service\n"
}

// looks gives op a PATH with Debian's tools, as the unit tests' machine need not have them, and
// somewhere to remember what waits.
func looks(t *testing.T, op *Operation) (waits func() state.Pending) {
	t.Helper()
	bin, path := t.TempDir(), filepath.Join(t.TempDir(), "pending.json")
	for _, name := range []string{"apt-get", "dpkg", "systemctl", "nft", "needrestart"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	op.Pending = func(kind schedule.Kind, p state.Pending) (state.Pending, error) {
		return state.NotePending(path, kind, p)
	}
	return func() state.Pending {
		all, err := state.LoadPending(path)
		if err != nil {
			t.Fatal(err)
		}
		return all[schedule.System]
	}
}

// Two updates in a row defer D-Bus: the host restarts for each, however the run behind the first
// reboot ended. Where a reboot did not help it is not done again, and people are told.
func TestRebootForTheSameAgain(t *testing.T) {
	for name, c := range map[string]struct {
		behind Phase
		helps  bool
	}{
		"helped":                    {marks("after", new([]string)), true},
		"helped, and the run fails": {broken{}, true},
		"did not help":              {marks("after", new([]string)), false},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string]string{}
			op, _ := systemOp(t, answers)
			op.Config.Window = anyTime
			op.Lock = func(context.Context, string, func(error)) (func() error, error) {
				return func() error { return nil }, nil
			}
			deferDBus(answers)
			if err := (OSDecide{}).Run(t.Context(), op); err != nil || op.Record.Run.System.RebootFor == "" {
				t.Fatalf("no reboot: %+v, %v", op.OS, err)
			}
			ctx, shutdown := context.WithCancel(t.Context())
			shutdown()
			if err := op.reboot(ctx); !errors.Is(err, context.Canceled) || op.Record.Reboot == nil {
				t.Fatalf("%+v, %v", op.Record.Reboot, err)
			}
			op.Record.Run.Step, op.Record.Run.BootID, op.OS = OSReboot{}.ID(), "the boot before", nil
			if c.helps {
				clear(answers)
			}
			if _, err := Resume(t.Context(), []Phase{OSReboot{}, c.behind}, op); err != nil && c.behind != (broken{}) {
				t.Fatal(err)
			}

			deferDBus(answers)
			waits := looks(t, op)
			op.Record.Run, op.Unattended = nil, true
			err := OSLook{}.Run(t.Context(), op)
			switch said := waits().What; {
			case c.helps && (err != nil || op.OS.Later != "" || said != "a reboot: still running old files: dbus.service"):
				t.Errorf("%+v, %q, %v", op.OS, said, err)
			case !c.helps && (!errors.Is(err, Done) || !strings.Contains(said, "dbus.service; it was done for that on ") || !strings.Contains(said, "somebody has to look")):
				t.Errorf("%+v, %q, %v", op.OS, said, err)
			}
		})
	}
}

// A reboot that waits for its window waits: who is told what is to be done hears of it.
func TestRebootThatWaits(t *testing.T) {
	answers := map[string]string{}
	op, _ := systemOp(t, answers)
	deferDBus(answers)
	waits := looks(t, op)
	op.Config.Window = time.Now().UTC().AddDate(0, 0, 3).Format("Mon") + " 00:00-01:00"
	if err := (OSLook{}).Run(t.Context(), op); !errors.Is(err, Done) || waits().What != "a reboot: still running old files: dbus.service" {
		t.Errorf("%+v, %v", waits(), err)
	}
	clear(answers)
	if err := (OSLook{}).Run(t.Context(), op); !errors.Is(err, Done) || waits().What != "" {
		t.Errorf("afterwards: %+v, %v", waits(), err)
	}
}

// What fails at night is tried twice, then once a day; with people without service both times, not
// before somebody has looked.
func TestEnough(t *testing.T) {
	ended := func(operation, outcome string, ago time.Duration) state.Finished {
		return state.Finished{Operation: operation, Outcome: outcome, Ended: time.Now().Add(-ago), Error: "demo: its script failed\nand more"}
	}
	const failed, back, done = OutcomeFailed, OutcomeRolledBack, OutcomeDone
	for name, c := range map[string]struct {
		history []state.Finished
		want    string // empty: it is tried
	}{
		"nothing yet":          {nil, ""},
		"once":                 {[]state.Finished{ended("os", failed, time.Hour)}, ""},
		"twice":                {[]state.Finished{ended("os", failed, 2*time.Hour), ended("os", failed, time.Hour)}, "tried once a day: demo: its script failed; next at"},
		"twice, the day after": {[]state.Finished{ended("os", failed, 22*time.Hour), ended("os", failed, 21*time.Hour)}, ""},
		"and again": {[]state.Finished{ended("os", failed, 22*time.Hour), ended("os", failed, 21*time.Hour), ended("os", failed, time.Minute)},
			"failed 3 times in a row"},
		"it worked between":           {[]state.Finished{ended("os", failed, 2*time.Hour), ended("os", done, time.Hour), ended("os", failed, time.Hour)}, ""},
		"both at once worked between": {[]state.Finished{ended("os", failed, 2*time.Hour), ended("all", done, time.Hour), ended("os", failed, time.Hour)}, ""},
		"a version failed":            {[]state.Finished{ended("all", back, 2*time.Hour), ended("apply", back, time.Hour)}, ""},
		"people were without service": {[]state.Finished{ended("os", back, 99*time.Hour), ended("backup", done, 98*time.Hour), ended("os", back, 97*time.Hour)}, "with Mattermost away"},
		"and somebody looked":         {[]state.Finished{ended("os", back, 99*time.Hour), ended("os", back, 97*time.Hour), ended("os", done, 96*time.Hour)}, ""},
		"people were, the first time": {[]state.Finished{ended("os", back, 22*time.Hour), ended("os", failed, 21*time.Hour)}, ""},
	} {
		op := &Operation{Record: &state.State{History: c.history}, Options: Options{Unattended: true}}
		err := op.enough()
		var later *Later
		var list problem.List
		if got := c.want == ""; got != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		} else if err != nil && errors.As(err, &list) != strings.Contains(c.want, "away") || err != nil && errors.As(err, &later) == errors.As(err, &list) {
			t.Errorf("%s: %T", name, err)
		}
		if op.Unattended = false; op.enough() != nil {
			t.Errorf("%s: with somebody there", name)
		}
	}
}

// A look says so, and remembers what waits all the same.
func TestEnoughOfALook(t *testing.T) {
	answers := map[string]string{}
	op, _ := systemOp(t, answers)
	deferDBus(answers)
	waits := looks(t, op)
	op.Config.Window, op.Unattended = anyTime, true
	now := time.Now()
	op.Record.History = []state.Finished{{Operation: "os", Outcome: OutcomeFailed, Ended: now}, {Operation: "os", Outcome: OutcomeFailed, Ended: now}}
	var later *Later
	if err := (OSLook{}).Run(t.Context(), op); !errors.As(err, &later) || waits().What == "" {
		t.Errorf("%+v, %v", waits(), err)
	}
}

// Of what a package wants started, what someone has disabled stays off, as Debian's own tool has it.
func TestWant(t *testing.T) {
	for file, starts := range map[string]int{"enabled": 1, "enabled-runtime": 1, "generated": 1, "disabled": 0, "static": 0, "masked": 0, "": 0} {
		op, _ := systemOp(t, map[string]string{"UnitFileState": file + "\n"})
		for _, action := range []string{"start", "reload"} {
			if err := want(t.Context(), op, system.Wish{Unit: action + "ed.service", Actions: []string{action}}); err != nil {
				t.Fatal(err)
			}
		}
		if plan := op.Record.Run.System; len(plan.Start) != starts {
			t.Errorf("%q: %+v", file, plan)
		}
	}
}
