package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// A program that cannot read the record must not take the place of the one that wrote it.
func TestOlderProgramReplacesNothing(t *testing.T) {
	for record, fine := range map[string]bool{
		"":                                       true,
		`{"kind":"townsquare.host","version":1}`: true,
		`{"kind":"townsquare.host","version":1,"run":{"id":"x","new":true}}`: false,
		`{"kind":"townsquare.host","version":99}`:                            false,
	} {
		err := mayReplace(t.Context(), func(_ context.Context, _ string, _ io.Reader, out io.Writer) error {
			_, err := io.WriteString(out, record)
			return err
		})
		if fine != (err == nil) || !fine && (!errors.Is(err, state.ErrNewer) || !strings.Contains(phase.Hint(err), "go build")) {
			t.Errorf("%s: %v", record, err)
		}
	}
}

// What a server says on stderr is said again as it was said there, whatever lines it is of.
func TestRemote(t *testing.T) {
	for stderr, want := range map[string]remoteError{
		"error: no room\n  -> sudo apt clean\n": {text: "no room", hint: "sudo apt clean"},
		"error: first\n  | second\n":            {text: "first\nsecond"},
		"error: a\n  -> x\nerror: b\n  -> y\n":  {text: "a\nb\ndo: y", hint: "x"},
		"note\nerror: a\x1b[2J\r\n":             {text: "note\na[2J"},
		"":                                      {text: "upgrade: exit status 3"},
	} {
		err := remote(&host.ExitError{Name: "upgrade", Code: 3, Stderr: stderr})
		want.code = 3
		var got *remoteError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%q: %+v, want %+v", stderr, got, want)
		}
	}
}

func TestOlderProgramIsNotInstalled(t *testing.T) {
	h := newFakeHost(t)
	writeFile(t, h, state.Path, `{"kind":"townsquare.host","version":99}`)
	var out strings.Builder
	if code := h.main(t.Context(), []string{"host", "start"}, strings.NewReader(`{"operation":"apply"}`), io.Discard, &out); code != phase.ExitError ||
		!strings.Contains(out.String(), "older than the one on the server") {
		t.Errorf("code %d: %s", code, out.String())
	}
	if _, err := os.Stat(filepath.Join(h.root, "upgrade")); err == nil {
		t.Error("it was installed")
	}
}
