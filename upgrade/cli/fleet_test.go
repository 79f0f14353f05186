package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// And the next time, the others do not take what failed there.
	skipped := map[string]string{}
	for name, h := range f.hosts {
		h.acts["choose"] = func(ctx context.Context, op *phase.Operation) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			skipped[name] = op.Skip["9.10.0"]
			return phase.Done
		}
	}
	wants(t, f.upgrade("apply", "--all-stacks", "--yes"), 0)
	if why := skipped["a"]; !strings.Contains(why, "it failed on c on ") || !strings.Contains(why, "the server exited") {
		t.Errorf("a skips 9.10.0 because of %q", why)
	}
	wants(t, f.upgrade("apply", "--all-stacks", "--yes", "--retry-failed"), 0)
	if skipped["a"] != "" {
		t.Error("--retry-failed skips what failed")
	}
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
