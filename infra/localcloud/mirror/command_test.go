package mirror

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// command runs `localcloud mirror args…` for the mirror in dir, and returns what it printed.
func command(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := Command(func(name string) (string, error) {
		if name != "test" {
			t.Errorf("asked for cloud %q", name)
		}
		return filepath.Dir(dir), nil
	})
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append(args, "--cloud", "test"))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestFaultCommand(t *testing.T) {
	m := newTestMirror(t, "9.10.0")
	for _, args := range [][]string{
		{"fault", "9.10.0", "cut", "--bytes", "100", "--times", "2"},
		{"fault", "archive", "tbd", "--version", "9.10.0"},
		{"fault", "9.10.0.sig", "wrong-signature"},
	} {
		if out, err := command(t, m.dir, args...); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	out, err := command(t, m.dir, "status")
	if err != nil {
		t.Fatal(err)
	}
	archive := "/9.10.0/" + archiveName("9.10.0", Team, testArch)
	for _, line := range []string{
		"9.10.0  team", "fault 1: " + archive + " cut at byte 100 (2 times)\n",
		"fault 2: /version-archive.mdx tbd of 9.10.0\n", "fault 3: " + archive + ".sig wrong-signature\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("status does not show %q:\n%s", line, out)
		}
	}
	if _, err := command(t, m.dir, "fault", "--clear"); err != nil {
		t.Error(err)
	}
	if s, err := ReadSettings(m.dir); err != nil || len(s.Faults) > 0 {
		t.Errorf("after --clear: %v, %v", s.Faults, err)
	}
}

func TestCommandsRefuseNonsense(t *testing.T) {
	m := newTestMirror(t)
	for want, args := range map[string][]string{
		"no fault":                  {"fault", "archive", "explode"},
		"has no meaning for":        {"fault", "archive", "wrong-signature"},
		"needs a rate":              {"fault", "archive", "slow"},
		"needs a status":            {"fault", "archive", "status", "--status", "42"},
		"needs the version":         {"fault", "archive", "tbd"},
		"below 0":                   {"fault", "archive", "cut", "--bytes", "-1"},
		"is no page":                {"fault", "9.99.0", "cut"},
		"say what and how":          {"fault", "archive"},
		"or only --clear":           {"fault", "archive", "shape", "--clear"},
		"publish what?":             {"publish"},
		"there are 6.3.0":           {"publish", "1.0.0"},
		"no way to fail":            {"publish", "--bad", "politely"},
		"write it as":               {"publish", "--ends", "9.10"},
		"there are team and":        {"publish", "--edition", "home", "7.7.0"},
		"requires at least 1 arg(s": {"withdraw"},
	} {
		if _, err := command(t, m.dir, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	if s, err := ReadSettings(m.dir); err != nil || len(s.Faults)+len(s.Packages) > 0 {
		t.Errorf("something was changed: %+v, %v", s, err)
	}
}

func TestNoCloudOfThatName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mirror")
	_, err := command(t, dir, "fault", "--clear")
	if err == nil || !strings.Contains(err.Error(), "type localcloud up --cloud test") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a directory was made: %v", err)
	}
}

func TestStatusForMachines(t *testing.T) {
	m := newTestMirror(t, "7.7.0", "9.10.0")
	if _, err := command(t, m.dir, "publish", "--esr", "9.10", "--ends", "9.10=2027-05-15"); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t, m.dir, "withdraw", "7.7.0"); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, m.dir, "status", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var s status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Published) != 1 || s.Published[0].Number != "9.10.0" || len(s.Fingerprint) != 40 || len(s.ESR) != 1 ||
		!s.Ends["9.10"].Equal(time.Date(2027, 5, 15, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("status %+v", s)
	}
	if page := m.get(hostDocs, pathPolicy).body; !strings.Contains(page, "Extended Support :crit, :active, 2024-07-16, 2027-05-15") {
		t.Errorf("the policy does not follow:\n%s", page)
	}
	if _, err := command(t, m.dir, "publish", "--only"); err != nil {
		t.Error(err)
	}
	if out, err := command(t, m.dir, "status"); err != nil || !strings.Contains(out, "nothing is published") {
		t.Errorf("after --only: %v, %s", err, out)
	}
	m.get(hostDocs, pathKey)
	if out, err := command(t, m.dir, "requests"); err != nil || strings.Count(out, "\n") != 2 || !strings.Contains(out, `"status":404`) {
		t.Errorf("requests: %v, %s", err, out)
	}
}
