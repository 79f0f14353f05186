package cli

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// A program that is older, that cannot read the record or that comes during a run takes no place.
func TestOlderProgramReplacesNothing(t *testing.T) {
	at := func(day int) version {
		return version{Time: time.Date(2026, 11, day, 8, 0, 0, 0, time.UTC), Revision: "19a9d71c4e2f", Protocol: protocol}
	}
	other := at(20)
	other.Protocol++
	const record = `{"kind":"townsquare.host","version":1}`
	for name, c := range map[string]struct {
		ours    version
		theirs  any
		running bool
		record  string
		want    string // "" replaced, "kept", "refused"
	}{
		"newer":                              {at(21), at(20), false, record, ""},
		"no record":                          {at(21), at(20), false, "", ""},
		"of the same commit":                 {at(20), at(20), false, record, ""},
		"older":                              {at(19), at(20), false, record, "kept"},
		"older, with another's words":        {at(19), other, false, record, "refused"},
		"newer, with other words":            {at(21), other, false, record, ""},
		"newer, during a run":                {at(21), at(20), true, record, "kept"},
		"during a run, with another's words": {at(21), other, true, record, "refused"},
		"of unknown age":                     {version{Protocol: protocol}, at(20), false, record, "kept"},
		"both of unknown age":                {version{Protocol: protocol}, version{Protocol: protocol}, false, record, ""},
		"from before versions":               {at(20), "The server's side of the other commands", false, record, ""},
		"from before, during a run":          {at(20), nil, true, record, "kept"},
		"a record with more":                 {at(21), at(20), false, `{"kind":"townsquare.host","version":1,"run":{"id":"x","new":true}}`, "refused"},
		"a newer record":                     {at(21), at(20), false, `{"kind":"townsquare.host","version":99}`, "refused"},
	} {
		said, err := json.Marshal(c.theirs)
		if err != nil {
			t.Fatal(err)
		}
		err = c.ours.replaces(host.Incumbent{Running: c.running, Version: said, Record: []byte(c.record)})
		var (
			kept  *keptError
			older *olderError
			got   string
		)
		switch {
		case errors.As(err, &kept):
			got = "kept"
		case errors.As(err, &older) && strings.Contains(phase.Hint(err), "go build"):
			got = "refused"
		case err != nil:
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
}

func TestVersion(t *testing.T) {
	v := stamped(&debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.time", Value: "2026-11-23T08:13:01Z"},
		{Key: "vcs.revision", Value: "19a9d71c4e2f00112233"}, {Key: "vcs.modified", Value: "true"}}})
	if got := v.String(); got != "2026-11-23 08:13 UTC, commit 19a9d71c4e2f with changes" {
		t.Errorf("it is %s", got)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got := versionOf(self); got != ourVersion() {
		t.Errorf("the file is %+v, the process %+v", got, ourVersion())
	}
	h := newFakeHost(t)
	var out, answer strings.Builder
	if code := h.main(t.Context(), []string{"--version"}, strings.NewReader(""), &out, io.Discard); code != 0 || out.String() != "upgrade "+ourVersion().String()+"\n" {
		t.Errorf("exit code %d: %s", code, &out)
	}
	var got version
	if code := h.main(t.Context(), []string{"host", "version"}, strings.NewReader(""), &answer, io.Discard); code != 0 ||
		json.Unmarshal([]byte(answer.String()), &got) != nil || got.Protocol != protocol {
		t.Errorf("exit code %d: %s", code, &answer)
	}
}

// A recovery that holds the lock keeps its program.
func TestNothingIsInstalledUnderALock(t *testing.T) {
	h := newFakeHost(t)
	writeFile(t, h, "/upgrade", "another program")
	lock, err := host.TakeLock(filepath.Join(h.root, host.LockPath), host.Holder{Who: "the host itself", Why: "put back a run"}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	var out strings.Builder
	if code := h.main(t.Context(), []string{"host", "start"}, strings.NewReader(`{"operation":"apply"}`), io.Discard, &out); code != phase.ExitLocked {
		t.Errorf("code %d: %s", code, out.String())
	}
	if got, err := os.ReadFile(filepath.Join(h.root, "upgrade")); err != nil || string(got) != "another program" {
		t.Errorf("the program is %d bytes, %v", len(got), err)
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
