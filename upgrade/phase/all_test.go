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

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

func TestAllBeginsWithItsPlan(t *testing.T) {
	plan := AllPlan()
	for i, p := range All() {
		if i < len(plan) {
			if _, changes := p.(Undoer); changes || p.Title() != plan[i].Title() {
				t.Errorf("%q is number %d of the operation", p.Title(), i)
			}
		} else if _, ok := p.(Describer); !ok {
			t.Errorf("%q cannot say what it would do", p.Title())
		}
	}
}

// All has everything that Apply and OS do, each in the same order, but for what it does in one.
func TestAllIsBoth(t *testing.T) {
	var all []string
	for _, p := range All() {
		all = append(all, p.Title())
	}
	for name, list := range map[string][]Phase{"apply": Apply()[len(Plan()):], "os": OS()[len(OSPlan()):]} {
		at := 0
		for _, p := range list {
			switch p.(type) {
			case OSDatabase, OSReboot, OSVerify, OSCommit: // AllDatabase, AllReboot and AllReview
				continue
			}
			i := slices.Index(all[at:], p.Title())
			if i < 0 {
				t.Fatalf("%s does %q, and all does not, or too early", name, p.Title())
			}
			at += i
		}
	}
}

// Where one has nothing to do, or may not, the other's own operation does its part.
func TestWhichOfBoth(t *testing.T) {
	later, fails := &Later{Why: "it is day"}, errors.New("no such page")
	list := problem.List{{Where: "disk"}}
	for _, c := range []struct {
		name               string
		mattermost, system error
		alone              bool
		want               string
	}{
		{"both", nil, nil, false, ""},
		{"neither", Done, Done, false, "nothing to do"},
		{"the system is current", nil, Done, false, "apply"},
		{"Mattermost is current", Done, nil, false, "os"},
		{"the system waits", nil, later, true, "apply"},
		{"Mattermost waits", later, nil, true, "os"},
		{"both wait", later, later, true, "not now"},
		{"one waits", Done, later, true, "not now"},
		{"the other waits", later, Done, true, "not now"},
		{"no page, and somebody is there", fails, nil, false, "no such page"},
		{"no page, and nobody is there", fails, nil, true, "os"},
		{"the system cannot, and somebody is there", nil, list, false, "disk"},
		{"the system cannot, and nobody is there", nil, list, true, "apply"},
		{"both cannot", list, list, true, "disk"},
		{"one waits, and one cannot", later, list, true, "disk"},
	} {
		op := &Operation{Options: Options{Unattended: c.alone}}
		err := op.either(c.mattermost, c.system)
		var instead *Instead
		got := ""
		if errors.As(err, &instead) {
			got = instead.Operation
		} else if err != nil {
			got = err.Error()
		}
		if got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	var all problem.List
	if err := (&Operation{}).either(list, list); !errors.As(err, &all) || len(all) != 2 {
		t.Errorf("all problems at once: %v", err)
	}
}

// An upgrade that fails after the database restarted is put back, and what was installed stays.
func TestPackagesStayWhenTheVersionGoes(t *testing.T) {
	h := newSmallHost(t)
	old, target := filepath.Join(h.dir, "versions/7.7.0"), filepath.Join(h.dir, "versions/9.10.0")
	var asked []string
	h.op.System = system.System{Root: t.TempDir(), Run: func(_ context.Context, c host.Command) ([]byte, error) {
		if h.op.Record.Run.Stopped && c.Args[0] != "reset-failed" {
			asked = append(asked, strings.Join(c.Args, " "))
		}
		return nil, nil
	}}
	h.op.Name = "all"
	phases := []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old, NewTarget: target,
		Address: h.op.Facts.Health.URL, Port: 8065, Migrates: true, SchemaTarget: 101,
		System: &state.System{Packages: []state.Package{{Name: "postgresql-17"}}, Installed: true, Service: true, Database: []string{"postgresql@17-main.service"}}}},
		Stop{}, Checkpoint{}, AllDatabase{}, Swap{}, AllReboot{}, AllFacts{}, Start{}, broken{}}
	r, err := Run(t.Context(), phases, h.op)
	var back *RolledBack
	if !errors.As(err, &back) {
		t.Fatal(err)
	}
	if strings.Join(asked, ", ") != "restart postgresql@17-main.service" {
		t.Errorf("asked while the service was away: %q", asked)
	}
	if link, err := os.Readlink(h.link); err != nil || link != old {
		t.Errorf("leads to %s, %v", link, err)
	}
	if len(r.Packages) != 1 || !slices.Contains(r.Restarted, "postgresql@17-main.service") || slices.Contains(r.Restarted, "mm.service") {
		t.Errorf("report is %+v", r)
	}
	if kept := h.op.Record.History; len(kept) != 1 || len(kept[0].Packages) != 1 {
		t.Errorf("history is %+v", kept)
	}
}

// A server that reboots in an upgrade holds traffic until the new version is verified; one that reboots
// for its system alone does not.
func TestHoldBack(t *testing.T) {
	calls := play(t, "")
	for name, c := range map[string]struct {
		run  state.Run
		want string
	}{
		"an upgrade":               {state.Run{To: "9.10.0", Stopped: true, Port: 8065}, "nft close\n"},
		"the system":               {state.Run{Stopped: true, Port: 8065}, ""},
		"one that is verified":     {state.Run{To: "9.10.0", Stopped: true, OpenedAt: time.Now(), Port: 8065}, ""},
		"one that was not stopped": {state.Run{To: "9.10.0", Port: 8065}, ""},
		"one that is complete":     {state.Run{To: "9.10.0", Stopped: true, Committed: true, Port: 8065}, ""},
	} {
		before := calls()
		must(t, HoldBack(t.Context(), &c.run))
		if got := strings.TrimPrefix(calls(), before); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A recovery at a boot holds traffic before it undoes anything: where it is killed, systemd before 254
// starts the service. It resumes traffic when it is done, and when it gives up.
func TestRecoveryAtABootHoldsTraffic(t *testing.T) {
	stuck := errors.New("the disk is read-only")
	for name, c := range map[string]struct {
		fails error
		want  string
	}{
		"undone":           {nil, "nft close\nundo\nnft open\n"},
		"given up":         {stuck, "nft close\nundo\nnft open\n"},
		"to be tried":      {ErrUnreachable, "nft close\nundo\n"},
		"to be tried soon": {errUnproven, "nft close\nundo\n"},
	} {
		t.Run(name, func(t *testing.T) {
			calls := play(t, "")
			w, op := newWorld()
			op.Boot, op.Automatic = true, true
			op.Record.Run = &state.Run{ID: op.ID, Operation: "apply", From: "1", To: "2", Unit: "mattermost.service", User: "root", Port: 8065,
				Stopped: true, BootID: "the boot before"}
			last := undoStep{&step{title: "last", w: w, undo: func(ctx context.Context, _ *Operation) error {
				_, err := host.Run(ctx, host.Command{Name: "systemctl", Args: []string{"undo"}})
				return errors.Join(err, c.fails)
			}}}
			if err := Recover(t.Context(), []Phase{Stop{}, last}, op); !errors.Is(err, c.fails) {
				t.Error(err)
			}
			if got := strings.ReplaceAll(calls(), "systemctl ", ""); got != c.want {
				t.Errorf("it did\n%s, want\n%s", got, c.want)
			}
		})
	}
}

// A recovery at a boot that cannot even begin gives up as well, except where another run is in progress.
func TestRecoveryAtABootThatCannotBegin(t *testing.T) {
	for name, c := range map[string]struct {
		lock error
		want string
	}{
		"no lock":           {errors.New("the disk is read-only"), "nft open\n"},
		"another run":       {&host.LockedError{}, ""},
		"no such operation": {nil, "nft open\n"},
	} {
		t.Run(name, func(t *testing.T) {
			calls := play(t, "")
			_, op := newWorld()
			op.Boot, op.Automatic = true, true
			op.Record.Run = &state.Run{ID: op.ID, Operation: "later", To: "2", Unit: "mattermost.service", User: "root", Port: 8065, Stopped: true, BootID: "the boot before"}
			if c.lock != nil {
				op.Lock = func(context.Context, string, func(error)) (func() error, error) { return nil, c.lock }
			}
			if err := Recover(t.Context(), nil, op); err == nil || c.lock != nil && !errors.Is(err, c.lock) {
				t.Error(err)
			}
			if got := calls(); got != c.want {
				t.Errorf("it did %q, want %q", got, c.want)
			}
		})
	}
}
