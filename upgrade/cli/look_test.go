package cli

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// inProgress makes the host have a run of an operation in progress, which holds the lock.
func inProgress(t *testing.T, h *fakeHost, operation string) {
	t.Helper()
	id := "20261201T000000Z-" + operation
	h.unit = "Townsquare upgrade " + id
	record := h.record()
	record.Run = &state.Run{ID: id, Operation: operation}
	if err := record.Save(filepath.Join(h.root, state.Path)); err != nil {
		t.Fatal(err)
	}
	lock, err := host.TakeLock(filepath.Join(h.root, host.LockPath), host.Holder{Who: "timer", Why: operation, Run: id}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release() })
}

// A nightly backup is no reason for a monitor's check to end with another exit code, and a check beside it
// leaves the record alone. An upgrade is: the server is neither old nor new then.
func TestLookBesideABackup(t *testing.T) {
	for operation, c := range map[string]struct{ check, plan int }{
		"backup": {phase.ExitAvailable, 0}, "verify": {phase.ExitAvailable, 0}, "prune": {phase.ExitAvailable, 0},
		"apply": {phase.ExitLocked, phase.ExitLocked}, "rollback": {phase.ExitLocked, phase.ExitLocked},
	} {
		t.Run(operation, func(t *testing.T) {
			h := newFakeHost(t)
			inProgress(t, h, operation)
			before, err := os.ReadFile(filepath.Join(h.root, state.Path))
			if err != nil {
				t.Fatal(err)
			}
			wants(t, h.upgrade(t.Context(), "check"), c.check)
			if c.check != phase.ExitLocked { // else it waits
				wants(t, h.upgrade(t.Context(), "check", "--unattended"), c.check)
			}
			wants(t, h.upgrade(t.Context(), "plan"), c.plan)
			if after, err := os.ReadFile(filepath.Join(h.root, state.Path)); err != nil || string(after) != string(before) {
				t.Errorf("the record was written: %s, %v", after, err)
			}
		})
	}
}

// A check with a configuration uses it, and leaves that of the server as it is.
func TestCheckWithAConfiguration(t *testing.T) {
	h := newFakeHost(t)
	writeConfig(t, h, "track: esr\nskip: {9.9.9: hung}\n")
	before := h.files()
	file := filepath.Join(t.TempDir(), "upgrade.yaml")
	if err := os.WriteFile(file, []byte("track: \"9.10\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "backup.password"), []byte("verysecretpassword"), 0o600); err != nil {
		t.Fatal(err)
	}
	tracks, choose := "", h.acts["choose"]
	h.acts["choose"] = func(ctx context.Context, op *phase.Operation) error {
		tracks = op.Config.Track + " " + op.Config.Skip["9.9.9"]
		return choose(ctx, op)
	}
	wants(t, h.upgrade(t.Context(), "check", "--config", file), phase.ExitAvailable)
	if !maps.Equal(before, h.files()) || strings.TrimSpace(tracks) != "9.10 hung" {
		t.Errorf("it was looked at with %q; the server's files are %v", tracks, maps.Keys(h.files()))
	}
}
