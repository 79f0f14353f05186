package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"townsquare/upgrade/problem"
)

func TestConfigRoundTrip(t *testing.T) {
	yes := true
	want := Config{Edition: "team", Track: "11.10", Window: "Sun 23:00-01:00", Watch: 90 * time.Second,
		Freeze: []string{"2026-12-20..2027-01-06"}, SecurityWithin: 72 * time.Hour, Automatic: "minor", Timers: &yes,
		Skip: map[string]string{"10.5.0": "vendor: avoid"}, URL: "https://chat.example.org",
		Releases: Sources{Archive: "https://docs.example.org/a.mdx", Fingerprint: strings.Repeat("A", 40)}}
	data, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseConfig("upgrade.yaml", data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigAsAPersonTypesIt(t *testing.T) {
	c, err := ParseConfig("upgrade.yaml", []byte("# ours\ntrack: 11.10\nskip:\n  9.9.1: hung\nwatch: 60s\nwindow:\n"))
	if err != nil || c.Track != "11.10" || c.Skip["9.9.1"] != "hung" || c.Watch != time.Minute || c.Window != "" {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := ParseConfig("upgrade.yaml", []byte("# nothing\n\n")); err != nil || c.Track != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

// What programs write into the file costs itself where it is wrong, and nothing else: recovery and
// timers need the rest.
func TestGeneratedKeyRefusesNothing(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"failed_elsewhere: {nonsense: x, 9.10.1: it hung}": {"9.10.1": "it hung"},
		"failed_elsewhere: {9.10.1: [a], 9.10.2: it hung}": {"9.10.2": "it hung"},
		"failed_elsewhere: [9.10.1]":                       nil,
		"failed_elsewhere: 9.10.1":                         nil,
	} {
		c, err := ParseConfig("upgrade.yaml", []byte("track: latest\n"+text))
		if err != nil || c.Track != "latest" || !cmp.Equal(c.Elsewhere, want, cmpopts.EquateEmpty()) || len(c.Ignored) != 1 || !strings.Contains(c.Ignored[0], "failed_elsewhere") {
			t.Errorf("%s: %v, %q, %v", text, c.Elsewhere, c.Ignored, err)
		}
	}
	if _, err := ParseConfig("upgrade.yaml", []byte("skip: {nonsense: x}")); err == nil {
		t.Error("what a person wrote is not refused")
	}
	if _, err := ParseConfig("upgrade.yaml", []byte("\"-\": [x]")); err == nil {
		t.Error("the name of no key is taken for one")
	}
}

// TestAllProblemsAtOnce: one look at the answer is enough to put the file right.
func TestAllProblemsAtOnce(t *testing.T) {
	_, err := ParseConfig("upgrade.yaml", []byte(`
edition: entreprise
trak: esr
track: stable
window: at night
watch: soon
skip: 9.9.1
url: http://chat.example.org
releases:
  archive: ftp://x
  fingerprnt: AB
`))
	var list problem.List
	if !errors.As(err, &list) {
		t.Fatalf("error is %v", err)
	}
	text := ""
	for _, p := range list {
		text += p.String() + " " + p.Hint + "\n"
	}
	for _, part := range []string{`trak: unknown key`, `did you mean "track"?`, `releases.fingerprnt`, `did you mean "fingerprint"?`,
		`watch: soon (allowed: a duration such as 60s)`, `skip`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	_, err = ParseConfig("upgrade.yaml", []byte("edition: entreprise\ntrack: stable\nwindow: at night\nwatch: 3h\nskip: {\"9.9\": x}\nurl: http://x\nreleases: {archive: \"ftp://x\", fingerprint: AB}\n"+
		"freeze: [\"2026-12-20..2026-11-20\", Christmas]\nsecurity_within: 10s\nautomatic: all\n"))
	if !errors.As(err, &list) || len(list) != 12 {
		t.Errorf("%d problems:\n%v", len(list), err)
	}
}

func TestConfigThatIsNoYAML(t *testing.T) {
	for _, text := range []string{"\t: x", "- a\n- b", "just words", "track: esr\ntrack: latest"} {
		_, err := ParseConfig("upgrade.yaml", []byte(text))
		var list problem.List
		if !errors.As(err, &list) || len(list) == 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestConfigThatIsNotThere(t *testing.T) {
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "upgrade.yaml")); err != nil {
		t.Error(err)
	}
	if _, err := LoadConfig(t.TempDir()); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory: %v", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"apply", "check", "history", "plan", "status"}
	for word, want := range map[string]string{"aply": "apply", "statsu": "status", "Check": "check", "pla": "plan", "rollback": "", "x": ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
