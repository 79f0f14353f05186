package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// refuses has the fake host refuse a plan, with a hint that needs the server's flags.
func refuses(h *fakeHost) {
	h.acts["choose"] = func(context.Context, *phase.Operation) error {
		return problem.List{{Where: "backup", Found: "none", Hint: "upgrade backup create …"}, {Where: "9.10.0", Found: "skipped", Hint: "--to 9.10.0 --retry-failed"}}
	}
}

// Of several servers each has hints that name it and no other, in the log, in JSON and in a summary.
func TestHintsOfAFleet(t *testing.T) {
	f := newFleet(t, "a", "b")
	for _, h := range f.hosts {
		refuses(h)
	}
	summary := filepath.Join(t.TempDir(), "summary")
	got := f.upgrade("plan", "--all-stacks", "--to", "9.10.0", "--json", "--markdown", summary)
	text, err := os.ReadFile(summary)
	if err != nil {
		t.Fatal(err)
	}
	for name := range f.hosts {
		for _, line := range []string{"upgrade backup create --stack " + name, "upgrade plan --to 9.10.0 --retry-failed --stack " + name} {
			if full := line + " --project " + f.dir; !strings.Contains(got.stdout, full) {
				t.Errorf("not in JSON: %s\n%s", full, got.stdout)
			}
			if !strings.Contains(string(text), line+"\n") {
				t.Errorf("not in the summary: %s\n%s", line, text)
			}
		}
	}
	if strings.Contains(got.stdout+got.stderr+string(text), "…") {
		t.Errorf("not complete:\n%s%s%s", got.stdout, got.stderr, text)
	}
	wants(t, f.upgrade("apply", "--stack", "a", "--stack", "b", "--to", "9.10.0", "--watch", "2s"), phase.ExitUsage,
		"upgrade apply --to 9.10.0 --watch 2s --yes --stack a --stack b --project "+f.dir+"\n")
}

// Who is refused because of a run in progress reads how to follow and how to end it, on that server.
func TestHintsOfALock(t *testing.T) {
	h := newFakeHost(t)
	lock, err := host.TakeLock(filepath.Join(h.root, host.LockPath), host.Holder{Who: "ada@laptop", Why: "backup"}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	wants(t, h.upgrade(t.Context(), "unlock"), phase.ExitLocked,
		"follow it: upgrade follow --local", "roll back: upgrade cancel --local", "upgrade unlock --force --local")
}

// Notifications name the server as its operators do; without a stack their commands are for the server.
func TestHintsInNotifications(t *testing.T) {
	h := newFakeHost(t)
	a := &app{}
	server := &server{app: a, root: h.root}
	const text = "make one: upgrade backup create … && upgrade backup verify …"
	if got, want := server.complete(text), "make one: sudo "+host.Upgrader+" backup create --local && sudo "+host.Upgrader+" backup verify --local"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	config := filepath.Join(h.root, state.ConfigFile)
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("stack: prod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := server.complete(text), "make one: upgrade backup create --stack prod && upgrade backup verify --stack prod"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	m := runMessage(phase.Report{Finished: state.Finished{Operation: "all", Outcome: phase.OutcomeRefused, Error: "skipped"}, Hint: "--to 9.10.0 --retry-failed"})
	for _, f := range m.Facts {
		if f.Name == "To do" && f.Value != "upgrade apply --all --to 9.10.0 --retry-failed …" {
			t.Errorf("to do: %q", f.Value)
		}
	}
}

// The name of the stack reaches the server with the first command.
func TestStackIsDelivered(t *testing.T) {
	f := newFleet(t, "a")
	wants(t, f.upgrade("apply", "--stack", "a", "--yes"), 0)
	if c, err := state.LoadConfig(filepath.Join(f.hosts["a"].root, state.ConfigFile)); err != nil || c.Stack != "a" {
		t.Errorf("the server knows the stack as %q, %v", c.Stack, err)
	}
}
