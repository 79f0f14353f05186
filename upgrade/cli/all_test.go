package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
	"townsquare/upgrade/ui"
)

// packages is a look that finds one; lock notes it.
func packages(h *fakeHost, look string) {
	one := state.Package{Name: "openssl", From: "3.5.1", To: "3.5.2", Security: true}
	h.acts[look] = func(ctx context.Context, op *phase.Operation) error {
		if look == "both" {
			if err := h.choose(ctx, op); err != nil {
				return err
			}
		}
		op.OS = &phase.OSFacts{Pending: system.Pending{Packages: []system.Package{{Package: one}}}}
		return nil
	}
	h.acts["install"] = func(_ context.Context, op *phase.Operation) error {
		op.Record.Run.System = &state.System{Packages: op.OS.Changes(), Installed: true, Restarted: []string{"ssh.service"}}
		return op.Save()
	}
}

func TestApplyAll(t *testing.T) {
	h := newFakeHost(t)
	packages(h, "both")
	wants(t, h.upgrade(t.Context(), "plan", "--all"), 0, "Install Mattermost 9.10.0, and update the system: 1 package: openssl 3.5.2", "upgrade apply --all")
	wants(t, h.upgrade(t.Context(), "check", "--all"), phase.ExitAvailable, "it would be 9.10.0", "openssl", "security", "upgrade apply --all")
	h.acts["start"] = func(context.Context, *phase.Operation) error { return errors.New("it exited") }
	wants(t, h.upgrade(t.Context(), "apply", "--all", "--yes"), phase.ExitRolledBack, "9.10.0 did not work: it exited",
		"7.7.0 serves again", "What was installed of the system stays (1 package)", "upgrade os apply", "upgrade apply --all")
	h.ended.Wait()
	delete(h.acts, "start")
	wants(t, h.upgrade(t.Context(), "apply", "--all", "--yes"), 0,
		"Mattermost is now 9.10.0; it was 7.7.0. The system is up to date: 1 package, 1 service restarted.", "Restarted, each once: ssh.service.")
	h.ended.Wait()
	wants(t, h.upgrade(t.Context(), "history"), 0, "7.7.0 to 9.10.0; system: 1 package, 1 service restarted")
	h.acts["both"] = func(_ context.Context, op *phase.Operation) error {
		op.OS = &phase.OSFacts{}
		return phase.Done
	}
	before := h.files()
	wants(t, h.upgrade(t.Context(), "apply", "--all", "--yes"), 0, "and the system are up to date", "Nothing was changed")
	wants(t, h.upgrade(t.Context(), "check", "--all"), 0, "and the system are up to date")
	if after := h.files(); len(after) != len(before) {
		t.Errorf("something was written: %v", after)
	}
}

// Where only one has something to do, its own operation does it.
func TestApplyAllOfOne(t *testing.T) {
	h := newFakeHost(t)
	h.acts["both"] = func(context.Context, *phase.Operation) error {
		return &phase.Instead{Operation: "apply", Why: "only Mattermost has something to do now: the system is up to date"}
	}
	wants(t, h.upgrade(t.Context(), "plan", "--all"), 0, "Only Mattermost has something to do now", "Install Mattermost 9.10.0", "upgrade apply ")
	wants(t, h.upgrade(t.Context(), "apply", "--all", "--yes"), 0, "Mattermost is now 9.10.0")
	h.ended.Wait()
	packages(h, "packages")
	h.acts["both"] = func(context.Context, *phase.Operation) error {
		return &phase.Instead{Operation: "os", Why: "only the system has something to do now: Mattermost is up to date"}
	}
	wants(t, h.upgrade(t.Context(), "check", "--all"), phase.ExitAvailable, "openssl", "upgrade os apply")
	heard := hook(t, h)
	config, err := os.ReadFile(filepath.Join(h.root, state.NotifyFile))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, h, state.NotifyFile, string(config)+"announce: 20ms\n")
	wants(t, h.upgrade(t.Context(), "apply", "--all", "--unattended"), 0, "Only the system", "It is announced", "The system is up to date: 1 package")
	h.ended.Wait()
	if got := heard(); len(got) != 1 || got[0].Event != "announced" || !strings.HasPrefix(got[0].Title, "The server is updated") {
		t.Errorf("%+v", got)
	}
	var operations []string
	for _, f := range h.record().History {
		operations = append(operations, f.Operation)
	}
	if strings.Join(operations, " ") != "apply os" {
		t.Errorf("done: %q", operations)
	}
	wants(t, h.upgrade(t.Context(), "apply", "--reboot", "--yes"), phase.ExitUsage, "--reboot", "with --all")
	wants(t, h.upgrade(t.Context(), "apply", "--all", "--reboot", "--unattended"), phase.ExitUsage, "keeps to the window")
}

// gone is a server that says it restarts and never comes back.
type gone struct{}

func (gone) close() {}

func (gone) run(_ context.Context, _ []string, _ io.Reader, out io.Writer) error {
	line, err := json.Marshal(phase.Event{Time: time.Now(), Kind: phase.Leaving, Text: "the host restarts: a kernel"})
	if err != nil {
		return err
	}
	_, err = out.Write(append(line, '\n'))
	return errors.Join(host.ErrCut, err)
}

// A server that does not come back from its restart is reported with what was seen of it.
func TestRebootWithoutReturn(t *testing.T) {
	var said strings.Builder
	var waited time.Duration
	s := &session{way: gone{}, printer: ui.New(io.Discard, &said, func(string) string { return "" }, &secret.Redactor{}),
		again: func(_ context.Context, limit time.Duration) (way, error) {
			waited = limit
			return nil, errors.New("dial tcp 192.0.2.1:22: no route to host")
		}}
	_, err := s.follow(t.Context(), "20261122T030000Z-os")
	if err == nil || !strings.Contains(err.Error(), "went down at") || !strings.Contains(err.Error(), "seen last: dial tcp 192.0.2.1:22: no route to host") || waited != reconnectFor {
		t.Errorf("after %v: %v", waited, err)
	}
	if !strings.Contains(said.String(), "look at its console, then: upgrade status") {
		t.Errorf("it says %q", said.String())
	}
}

// halfWay is a host that comes up in the middle of both, with a firewall that does as nft says.
func halfWay(t *testing.T, nft string) (h *fakeHost, log string) {
	h = newFakeHost(t)
	bin := t.TempDir()
	log = filepath.Join(bin, "log")
	if err := os.WriteFile(filepath.Join(bin, "nft"), []byte("#!/bin/sh\n"+strings.ReplaceAll(nft, "LOG", log)+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	record := &state.State{Run: &state.Run{ID: "20261122T030000Z-all", Operation: "all", From: "7.7.0", To: "9.10.0", Phase: "stop", BootID: "the boot before",
		Port: 8065, Stopped: true, StoppedAt: time.Now(), Options: `{"watch_ns":7}`, System: &state.System{RebootFor: "a kernel", Rebooting: time.Now()}}}
	if err := record.Save(filepath.Join(h.root, state.Path)); err != nil {
		t.Fatal(err)
	}
	return h, log
}

// A host that restarted for both lets nobody in before the run has gone on and verified the version.
func TestBootInTheMiddle(t *testing.T) {
	h, log := halfWay(t, "cat >>LOG")
	shut, watch := "", time.Duration(0)
	h.acts["start"] = func(_ context.Context, op *phase.Operation) error {
		data, err := os.ReadFile(log)
		shut, watch = string(data), op.Watch
		return err
	}
	if code := h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), io.Discard, os.Stderr); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	h.ended.Wait()
	if !strings.Contains(shut, "tcp dport 8065") || watch != 7 {
		t.Errorf("before the new version was started: gate %q, options %v", shut, watch)
	}
	if r := h.record(); r.Run != nil || r.Active != "9.10.0" || len(r.History) != 1 || r.History[0].Rebooted != "a kernel" {
		t.Errorf("the record is %+v", r)
	}
}

// Where the gate cannot be shut, everything is put back before the service starts.
func TestBootWithoutAGate(t *testing.T) {
	h, _ := halfWay(t, "exit 1")
	began := false
	h.acts["start"] = func(context.Context, *phase.Operation) error {
		began = true
		return nil
	}
	if code := h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), io.Discard, io.Discard); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	h.ended.Wait()
	if r := h.record(); began || r.Run != nil || len(r.History) != 1 || r.History[0].Outcome != phase.OutcomeRolledBack {
		t.Errorf("began %v, the record is %+v", began, r)
	}
}

// A run that systemd does not start again after the reboot is undone. Where that fails, traffic is resumed,
// as the recovery is not started again.
func TestBootThatCannotGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		undo error
		code int
		held bool
	}{
		"undone":      {nil, 0, true}, // as Stop's undo, which resumes traffic, is not part of this
		"given up":    {errors.New("the disk is read-only"), phase.ExitNotRolledBack, false},
		"tried again": {phase.ErrUnreachable, host.ExitLater, true},
	} {
		t.Run(name, func(t *testing.T) {
			h, log := halfWay(t, "if grep -q chain; then echo held; else echo resumed; fi >>LOG")
			h.refuses = true
			h.acts["undo stop"] = func(_ context.Context, op *phase.Operation) error {
				op.Record.Run.Stopped = c.undo != nil
				return errors.Join(c.undo, op.Save())
			}
			code := h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), io.Discard, os.Stderr)
			r := h.record()
			if undone := r.Run == nil && len(r.History) == 1 && r.History[0].Outcome == phase.OutcomeRolledBack; code != c.code || undone != (c.undo == nil) {
				t.Errorf("exit code %d, record %+v", code, r)
			}
			if data, err := os.ReadFile(log); err != nil || strings.HasSuffix(string(data), "held\n") != c.held {
				t.Errorf("traffic: %s, %v", data, err)
			}
		})
	}
}
