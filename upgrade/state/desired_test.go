package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// All of it becomes paths and words of a root shell's commands: what cannot be meant is refused, at once.
func TestDesiredIsChecked(t *testing.T) {
	good := Desired{
		Files:       []File{{Path: "/etc/caddy/Caddyfile", Owner: "root", Mode: "0644"}},
		Directories: []Directory{{Path: "/opt/townsquare", Owner: "root", Mode: "0755"}, {Path: "/var/lib/mattermost", Owner: "root", Group: "mattermost", Mode: "1770"}},
		Suite:       "trixie-backports", Packages: []string{"postgresql-17"}, Unwanted: []string{"unattended-upgrades"},
		Enabled: []string{"var-lib-mattermost.mount", "postgresql@17-main.service"}, Disabled: []string{"apt-daily.timer"}, Masked: []string{"apt-daily.service"},
		User: "ops",
	}
	if found := good.Check("stack prod: host"); len(found) > 0 {
		t.Error(found)
	}
	bad := Desired{
		Files:       []File{{Path: "etc/passwd", Owner: "root;id", Mode: "644"}, {Path: "/etc/../x", Owner: "root", Mode: "0999"}, {Path: "/etc/x", Owner: "root", Mode: "1644"}},
		Directories: []Directory{{Path: "/", Owner: "root", Group: "a b", Mode: "4755"}},
		Suite:       "$(id)", Packages: []string{"--purge"}, Unwanted: []string{"a b"},
		Enabled: []string{"--now"}, Disabled: []string{"x"}, Masked: []string{"../x.service"}, User: "-u",
	}
	if found := bad.Check("stack prod: host"); len(found) != 16 {
		t.Errorf("%d of 16 are found:\n%v", len(found), found.Err())
	}
}

func TestLoadDesired(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desired.json")
	if d, err := LoadDesired(path); d != nil || err != nil {
		t.Errorf("nobody said anything: %v, %v", d, err)
	}
	for text, want := range map[string]string{"{": "unexpected end", `{"user": "-u"}`: "the name of a user"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadDesired(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
