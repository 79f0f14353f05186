package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/release"
)

func TestMeaning(t *testing.T) {
	plan := func(from, target string, upToDate bool, unlisted ...string) phase.Preview {
		return phase.Preview{From: from, Target: target, UpToDate: upToDate, Unlisted: unlisted, Why: "because."}
	}
	for name, c := range map[string]struct {
		named string
		plan  phase.Preview
		exit  int
		says  string
	}{
		"ours":                     {"11.7.10", plan("11.7.9", "11.7.10", false), 10, "11.7.10: this server has 11.7.9"},
		"ours, and newer is there": {"11.7.10", plan("11.7.9", "11.7.11", false), 10, "leads to 11.7.11"},
		"first installation":       {"11.7.10", plan("", "11.7.10", false), 10, "nothing is installed"},
		"it is there":              {"11.7.10", plan("11.7.10", "11.7.10", true), 0, "nothing new"},
		"newer is there":           {"11.7.9 10.11.22", plan("11.7.10", "11.7.10", true), 0, "nothing new"},
		"not listed yet":           {"11.7.11", plan("11.7.10", "11.7.10", true, "11.7.11"), 12, "11.7.11 is not on the vendor's pages yet"},
		"another track":            {"12.0.1", plan("11.7.10", "11.7.10", true), 0, "not what this server's release track leads to: because"},
		"several":                  {"12.0.2 11.9.4 11.7.10", plan("11.7.9", "11.7.10", false, "11.9.4"), 10, "11.7.10: this"},
		"beyond what we take":      {"12.0.2", plan("11.7.9", "11.7.10", false), 0, "not what this server's release track"},
		"invented":                 {"999.0.0", plan("11.7.9", "11.7.10", false, "999.0.0"), 12, "999.0.0 is not on"},
	} {
		t.Run(name, func(t *testing.T) {
			var versions []release.Version
			for v := range strings.FieldsSeq(c.named) {
				parsed, err := release.Parse(v)
				if err != nil {
					t.Fatal(err)
				}
				versions = append(versions, parsed)
			}
			says, exit := meaning(versions, c.plan)
			if exit != c.exit || !strings.Contains(says, c.says) {
				t.Errorf("%d %q; want %d %q", exit, says, c.exit, c.says)
			}
		})
	}
}

func TestNotice(t *testing.T) {
	h := newFakeHost(t)
	h.input = "garbage"
	wants(t, h.upgrade(t.Context(), "notice"), 0, "names no release")
	h.input = "Subject: Security release 9.10.0\n\nMattermost 9.10.0 fixes issues of high severity. \x1b[31mDo not look.\n"
	got := h.upgrade(t.Context(), "notice")
	wants(t, got, phase.ExitAvailable, "(e-mail) names 9.10.0, and speaks of security fixes", "do it: upgrade apply --local")
	if strings.Contains(got.stdout+got.stderr, "\x1b") || strings.Contains(got.stdout+got.stderr, "look") {
		t.Error("the notice's own words are shown")
	}
	if files := h.files(); len(files) != 0 {
		t.Errorf("wrote %v", files)
	}
	var v struct {
		Versions []string
		Security bool
		Exit     int
	}
	got = h.upgrade(t.Context(), "notice", "--json")
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || v.Exit != 10 || !v.Security || len(v.Versions) != 1 {
		t.Errorf("%v: %+v", err, v)
	}
	h.input = "{"
	wants(t, h.upgrade(t.Context(), "notice"), phase.ExitError, "as JSON")
	h.input = "8.0.0"
	writeConfig(t, h, "window: daily 00:00-24:00\n")
	dir := t.TempDir()
	summary, outputs := filepath.Join(dir, "summary.md"), filepath.Join(dir, "outputs")
	wants(t, h.upgrade(t.Context(), "notice", "--apply", "--markdown", summary, "--outputs", outputs), 0, "is now 9.10.0")
	for path, parts := range map[string][]string{summary: {"| this machine | 7.7.0 to 9.10.0 | done |", "| stop |"}, outputs: {"done=9.10.0\n", "exit=0\n"}} {
		text, err := os.ReadFile(path)
		for _, part := range parts {
			if err != nil || !bytes.Contains(text, []byte(part)) {
				t.Errorf("%s, %v: no %q in\n%s", path, err, part, text)
			}
		}
	}
	wants(t, h.upgrade(t.Context(), "notice", "--watch", "5s"), phase.ExitUsage, "without --apply")
}

// A script learns of an update from the file, and finds what went wrong in the summary.
func TestKeep(t *testing.T) {
	h := newFakeHost(t)
	h.acts["choose"] = h.choose
	dir := t.TempDir()
	args := []string{"--markdown", filepath.Join(dir, "summary"), "--outputs", filepath.Join(dir, "outputs")}
	h.upgrade(t.Context(), append([]string{"check"}, args...)...)
	h.upgrade(t.Context(), append([]string{"plan", "--to", "9"}, args...)...) // not understood: no result
	for name, want := range map[string]string{"summary": "an update is available", "outputs": "pending=9.10.0\nwaiting=\ndone=\nexit=10\n"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s, %v:\n%s", name, err, text)
		}
	}
	f := newFleet(t, "a")
	got := f.upgrade("check", "--stack", "gone", "--markdown", filepath.Join(dir, "gone"))
	text, _ := os.ReadFile(filepath.Join(dir, "gone"))
	if wants(t, got, phase.ExitError); !strings.Contains(string(text), "| gone | - | error: no route to host |") {
		t.Errorf("the summary is\n%s", text)
	}
}

// What a machine asks for names what it would install and what waits for a person, each by itself.
func TestCheckByItself(t *testing.T) {
	h := newFakeHost(t)
	v := func(name string) *release.Release {
		parsed, err := release.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		return &release.Release{Version: parsed}
	}
	patch := true
	h.acts["choose"] = func(_ context.Context, op *phase.Operation) error {
		switch {
		case !op.ByItself:
			op.Choice = release.Choice{Target: v("9.10.0"), Next: v("9.10.0")}
		case patch:
			op.Choice = release.Choice{Target: v("7.7.1"), Next: v("7.7.1"), Waiting: v("9.10.0")}
		default:
			op.Choice = release.Choice{Target: v("7.7.1"), UpToDate: true, Waiting: v("9.10.0")}
			return &phase.Later{Why: "it waits", Person: true}
		}
		return nil
	}
	for _, c := range []struct {
		patch bool
		flags []string
		keeps []string
	}{
		{true, nil, []string{"pending=9.10.0\nwaiting=\n", "| an update is available |"}},
		{true, []string{"--by-itself"}, []string{"pending=7.7.1 9.10.0\nwaiting=9.10.0\n", "an update is available; 9.10.0 waits for a person |"}},
		{true, []string{"--unattended"}, []string{"pending=7.7.1 9.10.0\nwaiting=9.10.0\n"}},
		{false, []string{"--by-itself"}, []string{"pending=9.10.0\nwaiting=9.10.0\n", "| waits for a person |"}},
	} {
		patch = c.patch
		path := filepath.Join(t.TempDir(), "kept")
		wants(t, h.upgrade(t.Context(), append([]string{"check", "--markdown", path, "--outputs", path}, c.flags...)...), phase.ExitAvailable, "upgrade apply --local")
		text, err := os.ReadFile(path)
		for _, part := range c.keeps {
			if err != nil || !strings.Contains(string(text), part) {
				t.Errorf("%v, %v: no %q in\n%s", c.flags, err, part, text)
			}
		}
	}
}
