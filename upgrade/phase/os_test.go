package phase

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

// systemOp is an operation on a system whose programs say nothing, but for what the test says: the
// key is a part of the command line.
func systemOp(t *testing.T, answers map[string]string) (op *Operation, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	version, err := release.Parse("9.10.0")
	if err != nil {
		t.Fatal(err)
	}
	op = &Operation{ID: "20261122T030000Z-os", Name: "os", Emit: func(Event) {},
		Record: &state.State{Run: &state.Run{ID: "20261122T030000Z-os", Unit: "mattermost.service", From: "9.10.0", System: &state.System{}}},
		Facts:  &mattermost.Installation{Version: version, Unit: &mattermost.Unit{Name: "mattermost.service"}},
		OS:     &OSFacts{},
		System: system.System{Root: t.TempDir(), Run: func(_ context.Context, c host.Command) ([]byte, error) {
			line := strings.Join(append([]string{c.Name}, c.Args...), " ")
			*asked = append(*asked, line)
			for part, answer := range answers {
				if strings.Contains(line, part) {
					if text, ok := strings.CutPrefix(answer, "fails: "); ok {
						return nil, &host.ExitError{Name: c.Name, Code: 1, Stderr: text}
					}
					return []byte(answer), nil
				}
			}
			return nil, nil
		}}}
	op.Save = func() error { return nil }
	if err := os.MkdirAll(filepath.Join(op.System.Root, "usr/sbin"), 0o755); err != nil {
		t.Fatal(err)
	}
	return op, asked
}

func pkg(name, from, to string) system.Package {
	return system.Package{Package: state.Package{Name: name, From: from, To: to}}
}

func TestOSBeginsWithItsPlan(t *testing.T) {
	plan := OSPlan()
	for i, p := range OS() {
		if i < len(plan) {
			if _, changes := p.(Undoer); changes || p.Title() != plan[i].Title() {
				t.Errorf("%q is number %d of the operation", p.Title(), i)
			}
		} else if _, ok := p.(Describer); !ok {
			t.Errorf("%q cannot say what it would do", p.Title())
		}
	}
}

func TestWhatIsNeverDoneAlone(t *testing.T) {
	for name, c := range map[string]struct {
		pending system.Pending
		foreign bool
		want    string
	}{
		"a removal":           {pending: system.Pending{Remove: []string{"apache2"}}, want: "would remove apache2"},
		"a major version":     {pending: system.Pending{Packages: []system.Package{pkg("postgresql-18", "", "18.1")}}, want: "major version 18"},
		"Mattermost itself":   {pending: system.Pending{Packages: []system.Package{pkg("mattermost", "9.1", "9.2")}}, want: "replace it with 9.2"},
		"a foreign policy":    {foreign: true, want: "somebody else's"},
		"too little room":     {pending: system.Pending{Packages: []system.Package{{Download: 1 << 60, Unpacked: 1 << 60}}}, want: "packages to unpack"},
		"a minor of the same": {pending: system.Pending{Packages: []system.Package{pkg("postgresql-17", "17.11", "17.12")}}},
	} {
		op, _ := systemOp(t, map[string]string{"postgresql@*": "postgresql@17-main.service loaded active running x\n"})
		op.OS.Pending = c.pending
		if c.foreign {
			touch(t, op.System.Root, "usr/sbin/policy-rc.d")
		}
		err := OSPreflight{}.Run(t.Context(), op)
		var list problem.List
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.As(err, &list) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What restarts is what needrestart names and what was held back: each once, each in its own way.
func TestDecide(t *testing.T) {
	op, _ := systemOp(t, map[string]string{
		"-b -r l": "NEEDRESTART-SVC: dbus.service\nNEEDRESTART-SVC: postgresql@17-main.service\nNEEDRESTART-SVC: ssh.service\nNEEDRESTART-SVC: systemd-manager\n",
		"-l -r l": "Service restarts being deferred:\n systemctl restart dbus.service\n",
	})
	plan := op.Record.Run.System
	plan.Others = []string{"caddy.service", "postgresql@17-main.service", "postgresql.service", "cron.service"}
	op.Record.Reboot = &state.Reboot{Why: "still running old files: dbus.service"} // done for that, in vain
	if err := (OSDecide{}).Run(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	want := &state.System{Database: []string{"postgresql@17-main.service"}, Service: true, Proxy: []string{"caddy.service"},
		SSH: []string{"ssh.service"}, Others: []string{"cron.service", "systemd-manager"}}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
	if !op.OS.Reboot.Needed() || !strings.Contains(op.OS.Later, "did not help") {
		t.Errorf("the same reboot again: %+v, %q", op.OS.Reboot, op.OS.Later)
	}
}

// A reboot takes the place of every restart, in the window only, whoever asks, unless they say so.
func TestRebootKeepsToTheWindow(t *testing.T) {
	now := time.Now().UTC()
	closed := now.Add(2*time.Hour).Format("15:04") + "-" + now.Add(3*time.Hour).Format("15:04")
	for _, c := range []struct {
		window string
		now    bool
		want   bool
	}{{"daily 00:00-00:00", false, true}, {"daily " + closed, false, false}, {"daily " + closed, true, true}} {
		op, _ := systemOp(t, map[string]string{"-b -r l": "NEEDRESTART-KCUR: 1\nNEEDRESTART-KEXP: 2\nNEEDRESTART-KSTA: 3\nNEEDRESTART-SVC: ssh.service\n"})
		op.Config.Window, op.Reboot = c.window, c.now
		if err := (OSDecide{}).Run(t.Context(), op); err != nil {
			t.Fatal(err)
		}
		plan := op.Record.Run.System
		if got := plan.RebootFor != ""; got != c.want || got == (len(plan.SSH) > 0) {
			t.Errorf("window %q: reboot for %q, sshd %q", c.window, plan.RebootFor, plan.SSH)
		}
	}
}

// A run that dies while dpkg works leaves no package half done and no service forbidden to restart.
func TestInstallIsPutBack(t *testing.T) {
	op, asked := systemOp(t, map[string]string{"dpkg --audit": "half configured: openssl"})
	plan := op.Record.Run.System
	if err := hold(op); err != nil || !plan.Holding {
		t.Fatalf("%v, %+v", err, plan)
	}
	for range 2 {
		if err := (OSInstall{}).Undo(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	all := strings.Join(*asked, "\n")
	if plan.Holding || strings.Count(all, "--configure --pending") != 1 || !strings.Contains(all, "--fix-broken install") {
		t.Errorf("holding %v; asked:\n%s", plan.Holding, all)
	}
	if _, err := os.Stat(filepath.Join(op.System.Root, "usr/sbin/policy-rc.d")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("policy-rc.d: %v", err)
	}
	plan.Holding = true
	op.System.Run = func(_ context.Context, c host.Command) ([]byte, error) {
		if slices.Contains(c.Args, "--audit") {
			return []byte("broken"), nil
		}
		return nil, errors.New("no")
	}
	if err := (OSInstall{}).Undo(t.Context(), op); err == nil || !plan.Holding {
		t.Errorf("a repair that fails: %v, holding %v", err, plan.Holding)
	}
}

// Behind a reboot the run goes on, with the downtime that began before it.
func TestResume(t *testing.T) {
	op, _ := systemOp(t, nil)
	run := op.Record.Run
	var done []string
	var report *Report
	op.Emit = func(e Event) {
		if r, ok := ReportOf(e); ok {
			report = &r
		}
	}
	op.Lock = func(context.Context, string, func(error)) (func() error, error) {
		return func() error { return nil }, nil
	}
	phases := []Phase{marks("before", &done), OSReboot{}, marks("after", &done)}
	run.Step, run.BootID = OSReboot{}.ID(), "the boot before"
	if _, err := Resume(t.Context(), phases, op); err == nil {
		t.Error("it goes on behind a reboot that nobody asked for")
	}
	run = &state.Run{ID: op.ID, Operation: "os", Step: OSReboot{}.ID(), BootID: "the boot before", Started: time.Now().Add(-2 * time.Minute),
		Stopped: true, StoppedAt: time.Now().Add(-time.Minute), From: "9.10.0",
		Phases: []state.PhaseTime{{Title: "before", Took: time.Second}},
		System: &state.System{RebootFor: "kernel", Rebooting: time.Now().Add(-50 * time.Second)}}
	op.Record.Run, done = run, nil
	r, err := Resume(t.Context(), phases, op)
	if err != nil || report == nil || r.Outcome != OutcomeDone || r.Rebooted != "kernel" {
		t.Fatalf("%+v, %v", r, err)
	}
	if diff := cmp.Diff([]string{"after"}, done); diff != "" {
		t.Error(diff)
	}
	if len(r.Phases) != 3 || r.Downtime < time.Minute || run.Rebooting() || op.Record.Run != nil {
		t.Errorf("phases %v, away for %v, record %+v", r.Phases, r.Downtime, op.Record.Run)
	}
}

type marker struct {
	title string
	done  *[]string
}

func marks(title string, done *[]string) Phase { return marker{title, done} }

func (p marker) ID() string    { return p.title }
func (p marker) Title() string { return p.title }
func (p marker) Run(context.Context, *Operation) error {
	*p.done = append(*p.done, p.title)
	return nil
}

// Backups that cannot be reached since the host restarted are named.
func TestBackupsAfterAReboot(t *testing.T) {
	op, _ := systemOp(t, nil)
	op.Config.Backup.Repository = t.TempDir()
	var said []string
	op.Emit = func(e Event) {
		if e.Kind == Warn {
			said = append(said, e.Text)
		}
	}
	if err := compareBoots(t.Context(), op); err != nil || len(said) != 1 || !strings.Contains(said[0], "the backups cannot be reached") {
		t.Errorf("%v, said %q", err, said)
	}
}
