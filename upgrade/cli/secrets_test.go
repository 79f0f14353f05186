package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

func writeFile(t *testing.T, h *fakeHost, path, text string) {
	t.Helper()
	path = filepath.Join(h.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeConfig(t *testing.T, h *fakeHost, text string) {
	t.Helper()
	writeFile(t, h, state.ConfigFile, text)
}

// Whatever a phase says of a database, no password reaches a log, the record's events or a screen.
func TestNoSecretIsWritten(t *testing.T) {
	const password = "correct-horse-battery"
	h := newFakeHost(t)
	writeFile(t, h, state.AdminFile, "postgres://townsquare:"+password+"@db/mattermost\n")
	h.acts["fetch"] = func(_ context.Context, op *phase.Operation) error {
		op.Note("connecting to postgres://townsquare:%s@db/mattermost", password)
		op.Warn("password=%s", password)
		return errors.New("login with " + password + " failed")
	}
	for _, args := range [][]string{{"apply", "--yes"}, {"apply", "--yes", "--json"}} {
		got := h.upgrade(t.Context(), args...)
		wants(t, got, phase.ExitError, "[secret]")
		if strings.Contains(got.stdout+got.stderr, password) {
			t.Error("on the screen")
		}
	}
	for path, text := range h.files() {
		if strings.Contains(text, password) && !strings.HasSuffix(path, state.AdminFile) {
			t.Errorf("in %s", path)
		}
	}
}
