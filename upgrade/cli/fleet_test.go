package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// fleetOf is several fake hosts, each found by the address that a fake Pulumi gives for its stack.
type fleetOf struct {
	t     *testing.T
	dir   string // with Pulumi.yaml
	hosts map[string]*fakeHost

	mu    sync.Mutex
	order []string // stacks that were connected to
}

// fakePulumi answers like `pulumi stack output` and `pulumi stack ls`: the stack's name is its address.
const fakePulumi = `#!/bin/sh
[ "$2" != ls ] || { cat stacks.json; exit; }
while [ "$1" != --stack ]; do shift; done
echo '{"format":1,"address":"'"$2"'","sshUser":"ops","sshHostKey":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPyYjTKwYsKRB9jxyzPlsHBTwyqUDYBAkWHYhXhSWRoB","databaseUrl":"postgres:///m"}'
`

func newFleet(t *testing.T, names ...string) *fleetOf {
	f := &fleetOf{t: t, dir: t.TempDir(), hosts: map[string]*fakeHost{}}
	var list []map[string]string
	for _, name := range names {
		f.hosts[name] = newFakeHost(t)
		list = append(list, map[string]string{"name": name})
	}
	stacks, _ := json.Marshal(list)
	bin := t.TempDir()
	for path, text := range map[string]string{filepath.Join(bin, "pulumi"): fakePulumi, filepath.Join(f.dir, "stacks.json"): string(stacks)} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return f
}

func (f *fleetOf) upgrade(args ...string) typed {
	f.t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, redactor: &secret.Redactor{}, env: func(string) string { return "" }}
	a.server = a.thisServer
	a.reach = func(_ context.Context, _ *ui.Printer, t target, _ time.Duration) (way, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.order = append(f.order, t.address.Host)
		if f.hosts[t.address.Host] == nil {
			return nil, errors.New("no route to host")
		}
		return f.hosts[t.address.Host], nil
	}
	return typed{code: a.main(f.t.Context(), append(args, "--project", f.dir)), stdout: out.String(), stderr: errs.String()}
}

// results are what --json prints.
func (f *fleetOf) results(got typed) map[string]ui.Result {
	f.t.Helper()
	var all struct {
		Stacks []ui.Result
		Exit   int
	}
	if err := json.Unmarshal([]byte(got.stdout), &all); err != nil || all.Exit != got.code {
		f.t.Fatalf("%v; exit %d and code %d in %s", err, all.Exit, got.code, got.stdout)
	}
	by := map[string]ui.Result{}
	for _, r := range all.Stacks {
		by[r.Stack] = r
	}
	return by
}

func (f *fleetOf) breaks(name string) {
	f.hosts[name].acts["start"] = func(context.Context, *phase.Operation) error {
		return &phase.BadVersion{Version: "9.10.0", Cause: errors.New("the server exited")}
	}
}

func TestFleet(t *testing.T) {
	f := newFleet(t, "a", "b", "c")
	wants(t, f.upgrade("check", "--all-stacks"), phase.ExitAvailable, "STACK", "an update is available")
	got := f.upgrade("apply", "--all-stacks", "--yes")
	wants(t, got, 0, "a (first)", "b | ", "c | ", "done")
	if n := strings.Count(got.stdout, "to 9.10.0  done"); n != 3 {
		t.Errorf("%d rows say that it is done:\n%s", n, got.stdout)
	}
	for line := range strings.Lines(got.stderr) {
		if !strings.HasPrefix(line, "a | ") && !strings.HasPrefix(line, "b | ") && !strings.HasPrefix(line, "c | ") {
			t.Errorf("whose line is this? %q", line)
		}
	}
	wants(t, f.upgrade("plan", "--stack", "c", "--stack", "a"), 0, "up to date")
	if r := f.results(f.upgrade("check", "--all-stacks", "--json")); len(r) != 3 || !r["b"].Plan.UpToDate {
		t.Errorf("%+v", r)
	}
}

// The first goes alone; the others only when it is well.
func TestFleetCanary(t *testing.T) {
	f := newFleet(t, "a", "b", "c")
	if err := os.WriteFile(filepath.Join(f.dir, state.FleetFile), []byte("canary: c\nparallel: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.breaks("c")
	got := f.upgrade("apply", "--stack", "a", "--stack", "b", "--stack", "c", "--yes", "--json")
	r := f.results(got)
	if got.code != phase.ExitRolledBack || !r["c"].Canary || r["a"].Held == "" || r["b"].Held == "" {
		t.Errorf("code %d, %+v", got.code, r)
	}
	for _, name := range []string{"a", "b"} {
		if files := f.hosts[name].files(); len(files) != 0 {
			t.Errorf("%s was touched: %v", name, files)
		}
	}
}

// What fails on one server, and what the policy file says, gets to the others, and stays there for
// what they do by themselves. Whoever could not be asked has taken nothing back.
func TestFleetTellsServersWhatToSkip(t *testing.T) {
	f := newFleet(t, "a", "b", "c")
	f.breaks("a")
	wants(t, f.upgrade("apply", "--all-stacks", "--yes"), phase.ExitRolledBack)
	for _, h := range f.hosts {
		h.acts["choose"] = func(context.Context, *phase.Operation) error { return phase.Done }
	}
	is := func(when, name, skip, elsewhere string) {
		t.Helper()
		c, err := state.LoadConfig(filepath.Join(f.hosts[name].root, state.ConfigFile))
		if err != nil || c.Skip["9.11.0"] != skip || !strings.Contains(c.Elsewhere["9.10.0"], elsewhere) || (elsewhere == "") != (len(c.Elsewhere) == 0) {
			t.Errorf("%s, %s has skip: %v, failed_elsewhere: %v, %v", when, name, c.Skip, c.Elsewhere, err)
		}
	}
	policy := func(text string) {
		if err := os.WriteFile(filepath.Join(f.dir, state.FleetFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, f.upgrade("check", "--all-stacks"), 0)
	is("after a check of all", "a", "", "")
	is("after a check of all", "b", "", "it failed on a on ")
	is("after a check of all", "c", "", "the server exited")

	policy("skip: {9.11.0: breaks LDAP}\n")
	wants(t, f.upgrade("check", "--stack", "b"), 0)
	is("after a check of one", "b", "breaks LDAP", "it failed on a")
	wants(t, f.upgrade("plan", "--stack", "c"), 0)
	is("after a plan of one", "c", "breaks LDAP", "it failed on a")
	wants(t, f.hosts["b"].upgrade(t.Context(), "apply", "--unattended"), 0) // as its timer types
	is("by itself", "b", "breaks LDAP", "it failed on a")

	a := f.hosts["a"]
	f.hosts["a"] = nil
	wants(t, f.upgrade("check", "--all-stacks"), phase.ExitError)
	is("with a away", "b", "breaks LDAP", "it failed on a")
	f.hosts["a"] = a
	wants(t, f.upgrade("plan", "--stack", "b", "--stack", "c"), 0)
	is("with a not named", "b", "breaks LDAP", "it failed on a")
	record := a.record()
	record.Bad = nil
	if err := record.Save(filepath.Join(a.root, state.Path)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(f.dir, state.FleetFile)); err != nil {
		t.Fatal(err)
	}
	wants(t, f.upgrade("check", "--all-stacks"), 0)
	is("taken back by a", "b", "breaks LDAP", "") // and without the file nobody says anything about skip
	policy("canary: a\n")
	wants(t, f.upgrade("check", "--stack", "b"), 0)
	is("taken out of the policy", "b", "", "")
}

// What one server calls a version that failed does not get to the others unless it is one, in a line of
// bounded length; and what got there already costs them nothing.
func TestFleetTellsNoNonsense(t *testing.T) {
	f := newFleet(t, "a", "b")
	record := f.hosts["a"].record()
	record.Bad = map[string]state.Bad{"nonsense": {Reason: "x"}, "9.10.0\nskip": {Reason: "x"}, "9.11.0": {Reason: "\x1b[2J" + strings.Repeat("ä", 5000)}}
	if err := record.Save(filepath.Join(f.hosts["a"].root, state.Path)); err != nil {
		t.Fatal(err)
	}
	wants(t, f.upgrade("check", "--all-stacks"), phase.ExitAvailable)
	path := filepath.Join(f.hosts["b"].root, state.ConfigFile)
	c, err := state.LoadConfig(path)
	if reason := c.Elsewhere["9.11.0"]; err != nil || len(c.Elsewhere) != 1 || len(c.Ignored) != 0 || !strings.HasPrefix(reason, "it failed on a on ") || strings.Contains(reason, "\x1b") || len(reason) > 1000 {
		t.Errorf("failed_elsewhere: %.2000q, %q, %v", c.Elsewhere, c.Ignored, err)
	}
	if err := os.WriteFile(path, []byte("failed_elsewhere: {nonsense: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, f.hosts["b"].upgrade(t.Context(), "apply", "--unattended"), 0, "nonsense") // as its timer types
	var out bytes.Buffer
	if code := f.hosts["b"].main(t.Context(), []string{"host", "status"}, strings.NewReader(""), &out, io.Discard); code != 0 || !strings.Contains(out.String(), "nonsense") {
		t.Errorf("status: code %d, %s", code, out.String())
	}
}

// A canary that has the version, but may not install packages now, holds nobody; one that lacks it does.
func TestUnproven(t *testing.T) {
	later := func(from, to string) ui.Result {
		r := phase.Report{Why: "not now: the window"}
		r.Outcome, r.From, r.To = phase.OutcomeLater, from, to
		return ui.Result{Report: &r}
	}
	for name, c := range map[string]struct {
		result ui.Result
		holds  bool
	}{
		"packages wait":           {later("9.10.0", "9.10.0"), false},
		"a version waits":         {later("9.10.0", "9.10.1"), true},
		"nothing is installed":    {later("", "9.10.0"), true},
		"only a larger step does": {ui.Result{Report: later("9.10.0", "9.10.0").Report, Exit: phase.ExitAvailable}, false},
	} {
		if why := unproven(c.result); (why != "") != c.holds {
			t.Errorf("%s: held because %q", name, why)
		}
	}
}

// What was begun by somebody else is not what a person asked for, unless it is the same.
func TestAnother(t *testing.T) {
	report := phase.Report{}
	report.ID, report.To = "20261122T013000Z-apply", "9.10.1"
	for to, want := range map[string]bool{"": false, "9.10.1": false, "v9.10.1": false, "9.11.0": true} {
		if got := another(report, request{Operation: "apply", Options: phase.Options{To: to}}); got != want {
			t.Errorf("to %q: %v", to, got)
		}
	}
	if !another(report, request{Operation: "os"}) {
		t.Error("an upgrade was taken for one of the system")
	}
}

// Systems keep to the same order; but a server that is away keeps packages from nobody.
func TestFleetOfSystems(t *testing.T) {
	f := newFleet(t, "a", "b", "c")
	if err := os.WriteFile(filepath.Join(f.dir, state.FleetFile), []byte("canary: c\nparallel: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(f.dir, "outputs")
	args := []string{"os", "apply", "--all-stacks", "--unattended", "--json", "--outputs", kept}
	for _, h := range f.hosts {
		h.acts["lock"] = func(ctx context.Context, op *phase.Operation) error { return op.Acquire(ctx, state.Run{}) }
	}
	c := f.hosts["c"]
	f.hosts["c"] = nil
	r := f.results(f.upgrade(args...))
	if f.order[0] != "c" || r["c"].Error == "" || r["a"].Held != "" || r["b"].Report.Outcome != phase.OutcomeDone {
		t.Errorf("connected to %v; %+v", f.order, r)
	}
	if text, err := os.ReadFile(kept); err != nil || !strings.Contains(string(text), "done=system\n") {
		t.Errorf("%v, outputs:\n%s", err, text)
	}
	f.hosts["c"] = c
	c.acts["install"] = func(context.Context, *phase.Operation) error { return errors.New("dpkg: error") }
	r = f.results(f.upgrade(args...))
	if r["a"].Held != "c goes first, and it went wrong there" || r["b"].Held == "" {
		t.Errorf("%+v", r)
	}
	wants(t, f.upgrade("os", "check", "--stack", "a", "--stack", "b"), phase.ExitUsage, "one stack for this command")
}

// After a rollback no other is begun; those that run go on to their end.
func TestFleetStopsAtARollback(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	f := newFleet(t, names...)
	f.breaks("b")
	got := f.upgrade("apply", "--all-stacks", "--yes", "--json", "--parallel", "1")
	r := f.results(got)
	if got.code != phase.ExitRolledBack || r["a"].Exit != 0 || r["b"].Exit != 4 || !strings.Contains(r["c"].Held, "wrong on b") || r["d"].Held == "" {
		t.Errorf("code %d, %+v", got.code, r)
	}
	if f.hosts["a"].record().Active != "9.10.0" || len(f.hosts["c"].files()) != 0 {
		t.Error("a is not upgraded, or c was touched")
	}
	wants(t, f.upgrade("apply", "--all-stacks", "--yes", "--parallel", "1"), 4, "failed, put back: the server exited", "not begun: it went wrong on b")
}

func TestFleetWithoutOne(t *testing.T) {
	f := newFleet(t, "a", "b")
	f.hosts["gone"] = nil
	got := f.upgrade("apply", "--stack", "a", "--stack", "gone", "--stack", "b", "--yes")
	wants(t, got, phase.ExitError, "gone | error: no route to host", "error: no route to host")
	if f.hosts["b"].record().Active != "9.10.0" {
		t.Error("b waits for a server that cannot be reached")
	}
	wants(t, f.upgrade("apply", "--stack", "gone", "--stack", "b", "--yes"), phase.ExitError, "gone goes first, and it could not be upgraded")
}

func TestFleetIsBounded(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	f := newFleet(t, names...)
	var mu sync.Mutex
	now, most := 0, 0
	two := make(chan struct{}) // closed when two are at it
	for name, h := range f.hosts {
		h.acts["fetch"] = func(context.Context, *phase.Operation) error {
			mu.Lock()
			now++
			if most = max(most, now); now == 2 {
				select {
				case <-two:
				default:
					close(two)
				}
			}
			mu.Unlock()
			if name != "a" { // the first is alone; of the others each waits for company
				select {
				case <-two:
				case <-time.After(time.Minute):
				}
				time.Sleep(50 * time.Millisecond) // so that a third could come
			}
			mu.Lock()
			defer mu.Unlock()
			now--
			return nil
		}
	}
	wants(t, f.upgrade("apply", "--all-stacks", "--yes", "--parallel", "2"), 0)
	if most != 2 {
		t.Errorf("%d at a time", most)
	}
}

func TestFleetFlags(t *testing.T) {
	f := newFleet(t, "a")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"check", "--stack", "a", "--stack", "a"}, "a is there twice"},
		{[]string{"check", "--stack", "-x", "--stack", "a b"}, `"a b" (allowed`},
		{[]string{"check", "--stack", "--all-stacks"}, `"--all-stacks" (allowed`},
		{[]string{"check", "--all-stacks", "--stack", "a"}, "--all-stacks: given with --stack"},
		{[]string{"check", "--all-stacks", "--parallel", "99"}, "1 to 16"},
		{[]string{"check", "--stack", "a", "--parallel", "2"}, "given for one server"},
		{[]string{"check", "--all-stacks", "--host", "ops@h"}, "--host-key: missing"},
		{[]string{"apply", "--all-stacks"}, "--yes: missing"},
		{[]string{"status", "--stack", "a", "--stack", "b"}, "one stack for this command"},
	} {
		wants(t, f.upgrade(c.args...), phase.ExitUsage, c.says)
	}
	if len(f.order) > 0 {
		t.Errorf("connected to %v", f.order)
	}
	bad := filepath.Join(f.dir, state.FleetFile)
	for text, says := range map[string]string{"canry: a": `did you mean "canary"?`, "parallel: 99": "1 to 16", "skip: {\"9.10\": x}": "full versions", "- a": "YAML"} {
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		wants(t, f.upgrade("check", "--all-stacks"), phase.ExitRefused, says)
	}
}

// What every exit code of a member makes of the whole.
func TestWorst(t *testing.T) {
	var results []ui.Result
	for _, code := range []int{0, 10, 12, 11, 130, 3, 1, 4, 5} {
		results = append(results, ui.Result{Exit: code})
		if got := worst(results); got != code {
			t.Errorf("worst of %v is %d", fmt.Sprint(results), got)
		}
	}
	slices.Reverse(results)
	if worst(results) != 5 {
		t.Error("the order matters")
	}
}
