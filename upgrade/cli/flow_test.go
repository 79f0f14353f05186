package cli

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

func wants(t *testing.T, got typed, code int, parts ...string) {
	t.Helper()
	if got.code != code {
		t.Errorf("exit code %d, want %d", got.code, code)
	}
	for _, p := range parts {
		if !strings.Contains(got.stdout+got.stderr, p) {
			t.Errorf("does not say %q", p)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", got.stdout, got.stderr)
	}
}

func reportIn(t *testing.T, got typed) phase.Report {
	t.Helper()
	var r phase.Report
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("%v in\n%s", err, got.stdout)
	}
	return r
}

func TestApply(t *testing.T) {
	h := newFakeHost(t)
	wants(t, h.upgrade(t.Context(), "check"), phase.ExitAvailable, "Mattermost")
	wants(t, h.upgrade(t.Context(), "plan"), 0, "lock", "commit", "Nothing was changed.")
	if files := h.files(); len(files) != 0 {
		t.Errorf("check and plan wrote %v", files)
	}
	waits, err := state.LoadPending(filepath.Join(h.root, state.PendingFile))
	if err != nil || waits[schedule.Upgrade].What != "Mattermost 9.10.0" {
		t.Errorf("check and plan remember %v, %v", waits, err)
	}
	got := h.upgrade(t.Context(), "apply", "--yes", "--json")
	wants(t, got, 0)
	if r := reportIn(t, got); r.Outcome != phase.OutcomeDone || r.To != "9.10.0" || len(r.Phases) != 10 || r.Exit != 0 {
		t.Errorf("report is %+v", r)
	}
	if h.record().Active != "9.10.0" || h.record().Run != nil {
		t.Errorf("record is %+v", h.record())
	}
	before := h.files()
	h.dials = 0
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "is up to date", "Nothing was changed.")
	if !maps.Equal(before, h.files()) || h.dials != 1 {
		t.Errorf("an apply with nothing to do wrote something, or connected %d times", h.dials)
	}
	wants(t, h.upgrade(t.Context(), "check"), 0, "is up to date")
}

func TestApplyThatIsRefused(t *testing.T) {
	h := newFakeHost(t)
	h.acts["preflight"] = func(context.Context, *phase.Operation) error {
		return problem.List{{Where: "disk /opt", Found: "1 GB free", Allowed: "at least 2 GB", Hint: "sudo apt clean"},
			{Where: "PostgreSQL", Found: "10"}}
	}
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), phase.ExitRefused, "disk /opt", "1 GB free", "at least 2 GB", "sudo apt clean", "PostgreSQL")
	wants(t, h.upgrade(t.Context(), "plan"), phase.ExitRefused, "disk /opt")
	if files := h.files(); len(files) != 0 {
		t.Errorf("wrote %v", files)
	}
	if r := reportIn(t, h.upgrade(t.Context(), "apply", "--yes", "--json")); r.Exit != 3 || len(r.Problems) != 2 {
		t.Errorf("report is %+v", r)
	}
}

func TestApplyThatFails(t *testing.T) {
	for _, c := range []struct {
		name, phase string
		err         error
		code        int
		says        []string
	}{
		{"before the stop", "fetch", errors.New("no route to host"), 1, []string{"no route to host", "kept running"}},
		{"the new version", "start", &phase.BadVersion{Version: "9.10.0", Cause: errors.New("the server exited")}, 4,
			[]string{"the server exited", "7.7.0 serves again", "--retry-failed", "downtime ends after"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFakeHost(t)
			h.acts[c.phase] = func(context.Context, *phase.Operation) error { return c.err }
			wants(t, h.upgrade(t.Context(), "apply", "--yes"), c.code, c.says...)
			if s := h.record(); s.Run != nil || len(s.History) != 1 {
				t.Errorf("record is %+v", s)
			}
		})
	}
}

func TestApplyThatCannotGoBack(t *testing.T) {
	h := newFakeHost(t)
	h.acts["start"] = func(context.Context, *phase.Operation) error { return errors.New("boom") }
	h.acts["undo stop"] = func(context.Context, *phase.Operation) error { return errors.New("no space left on device") }
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), phase.ExitNotRolledBack,
		"boom", "no space left on device", "try again to put everything back: upgrade recover --local", "journalctl")
	if h.record().Run == nil {
		t.Fatal("the record forgot the run")
	}
	wants(t, h.upgrade(t.Context(), "check"), phase.ExitNotRolledBack, "could not be put back", "upgrade recover --local")
	delete(h.acts, "undo stop")
	delete(h.acts, "start")
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "is undone now", "is put back. Looking again.", "is now 9.10.0")
	if s := h.record(); len(s.History) != 3 || s.Run != nil {
		t.Errorf("record is %+v", s)
	}
}

// blocked makes the phase wait until free is closed; begun is closed when it has begun.
func (h *fakeHost) blocked(name string) (begun, free chan struct{}) {
	begun, free = make(chan struct{}), make(chan struct{})
	h.acts[name] = func(ctx context.Context, _ *phase.Operation) error {
		close(begun)
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Minute):
			return errors.New("nobody let it go on")
		}
	}
	return begun, free
}

func TestCutConnection(t *testing.T) {
	h := newFakeHost(t)
	h.cutAt = 700 // in the middle of an event
	got := h.upgrade(t.Context(), "apply", "--yes")
	wants(t, got, 0, "connection was lost", "Connected again.", "is now 9.10.0")
	if h.dials != 2 {
		t.Errorf("connected %d times", h.dials)
	}
	for _, name := range []string{"facts", "lock", "fetch", "stop", "start", "commit"} {
		if n := strings.Count(got.stderr, " s  "+name+"\n"); n != 1 {
			t.Errorf("%s was shown %d times:\n%s", name, n, got.stderr)
		}
	}
}

// The answer to "start" is lost: the run goes on, and is followed.
func TestCutWhileStarting(t *testing.T) {
	h := newFakeHost(t)
	h.lostStart = true
	_, free := h.blocked("start")
	h.hears, h.then = "following it", func() { close(free) }
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "connection was lost", "following it", "is now 9.10.0")
	if s := h.record(); len(s.History) != 1 {
		t.Errorf("%d runs", len(s.History))
	}
}

// Ctrl-C only stops the watching; a second apply follows the run to its end.
func TestDetachAndAttach(t *testing.T) {
	h := newFakeHost(t)
	_, free := h.blocked("start")
	ctx, interrupt := context.WithCancelCause(t.Context())
	h.hears, h.then = " s  stop\n", func() { interrupt(phase.ErrInterrupted) }
	wants(t, h.upgrade(ctx, "apply", "--yes"), phase.ExitInterrupted, "no longer watching", "upgrade follow --local", "upgrade cancel --local")
	wants(t, h.upgrade(t.Context(), "check"), phase.ExitLocked, "in progress")
	wants(t, h.upgrade(t.Context(), "unlock"), phase.ExitLocked, "at work", "upgrade cancel", "upgrade unlock --force")
	h.hears, h.then = "following it", func() { close(free) }
	got := h.upgrade(t.Context(), "apply", "--yes", "--json")
	wants(t, got, 0, "following it")
	if r := reportIn(t, got); r.Outcome != phase.OutcomeDone || r.UpToDate {
		t.Errorf("report is %+v", r)
	}
}

// follow watches the run to its end and starts nothing, also where there is nothing to watch.
func TestFollow(t *testing.T) {
	h := newFakeHost(t)
	wants(t, h.upgrade(t.Context(), "follow"), 0, "No run is in progress")
	_, free := h.blocked("start")
	ctx, interrupt := context.WithCancelCause(t.Context())
	h.hears, h.then = " s  stop\n", func() { interrupt(phase.ErrInterrupted) }
	wants(t, h.upgrade(ctx, "apply", "--yes"), phase.ExitInterrupted)
	h.hears, h.then = " s  stop\n", func() { close(free) }
	wants(t, h.upgrade(t.Context(), "follow"), 0, "is now 9.10.0")
	if s := h.record(); len(s.History) != 1 {
		t.Errorf("%d runs", len(s.History))
	}
}

func TestCancel(t *testing.T) {
	h := newFakeHost(t)
	wants(t, h.upgrade(t.Context(), "cancel"), 0, "No run is in progress")
	begun, _ := h.blocked("start")
	first := make(chan typed, 1)
	go func() { first <- h.upgrade(t.Context(), "apply", "--yes") }()
	<-begun
	wants(t, h.upgrade(t.Context(), "cancel"), 0, "Stopped on request", "put back: stop")
	wants(t, <-first, phase.ExitInterrupted, "Stopped on request")
	if s := h.record(); s.Run != nil || s.History[0].Outcome != phase.OutcomeInterrupted {
		t.Errorf("record is %+v", s)
	}
}

func TestUnlockByForce(t *testing.T) {
	h := newFakeHost(t)
	wants(t, h.upgrade(t.Context(), "unlock"), 0, "was not locked")
	begun, _ := h.blocked("start")
	first := make(chan typed, 1)
	go func() { first <- h.upgrade(t.Context(), "apply", "--yes") }()
	<-begun
	wants(t, h.upgrade(t.Context(), "unlock", "--force"), 0, "The server is free")
	wants(t, <-first, phase.ExitRolledBack, "lock was taken away")
}

func TestUnattendedKeepsToTheWindow(t *testing.T) {
	h := newFakeHost(t)
	day := time.Now().UTC().AddDate(0, 0, 3).Format("Mon")
	writeConfig(t, h, "window: "+day+" 02:00-04:00\n")
	wants(t, h.upgrade(t.Context(), "apply", "--unattended"), 0, "window", "next at", "02:00 UTC", "Nothing was changed")
	writeConfig(t, h, "window: daily 00:00-24:00\nfreeze: ["+time.Now().UTC().Format(time.DateOnly)+"]\n")
	wants(t, h.upgrade(t.Context(), "apply", "--unattended"), 0, "freeze", "Nothing was changed")
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "is now 9.10.0")
}

func TestBadConfigOnTheHost(t *testing.T) {
	h := newFakeHost(t)
	writeConfig(t, h, "trak: esr\n")
	wants(t, h.upgrade(t.Context(), "check"), phase.ExitRefused, "trak", `did you mean "track"?`)
}

func TestNewerRecordIsLeftAlone(t *testing.T) {
	h := newFakeHost(t)
	writeFile(t, h, state.Path, `{"kind":"townsquare.host","version":99}`)
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), phase.ExitError, "newer upgrader")
}

// With --json there is always one object on stdout, also for what went wrong.
func TestJSONAlways(t *testing.T) {
	h := newFakeHost(t)
	begun, free := h.blocked("start")
	first := make(chan typed, 1)
	go func() { first <- h.upgrade(t.Context(), "apply", "--yes") }()
	<-begun
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"check", "--json"}, phase.ExitLocked},
		{[]string{"plan", "--json"}, phase.ExitLocked},
		{[]string{"unlock", "--json"}, phase.ExitLocked},
		{[]string{"apply", "--json", "--to", "9"}, phase.ExitUsage},
		{[]string{"apply", "--json", "--nonsense"}, phase.ExitUsage},
		{[]string{"check", "--json", "--config", "/no/such/file"}, phase.ExitUsage},
	} {
		got := h.upgrade(t.Context(), c.args...)
		var v struct{ Exit int }
		if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || v.Exit != c.code || got.code != c.code {
			t.Errorf("%v: code %d, %v in %q", c.args, got.code, err, got.stdout)
		}
	}
	close(free)
	<-first
}

// Nobody brings another configuration while someone is at work.
func TestDeliveryRespectsTheLock(t *testing.T) {
	h := newFakeHost(t)
	lock, err := host.TakeLock(filepath.Join(h.root, host.LockPath), host.Holder{Who: "ada@laptop", Why: "apply"}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "upgrade.yaml")
	if err := os.WriteFile(config, []byte("track: latest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, h.upgrade(t.Context(), "plan", "--config", config), phase.ExitLocked, "ada@laptop is at work")
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	wants(t, h.upgrade(t.Context(), "plan", "--config", config), 0)
	if c, err := state.LoadConfig(filepath.Join(h.root, state.ConfigFile)); err != nil || c.Track != "latest" {
		t.Errorf("%+v, %v", c, err)
	}
}
