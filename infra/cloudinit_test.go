package infra

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// redacted keeps a key, though it is only the tests', out of the repository.
func redacted(t *testing.T, data string) string {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(testHostKey(t)), "\n") {
		data = strings.ReplaceAll(data, line, "(host key)")
	}
	return data
}

func TestUserData(t *testing.T) {
	for name, changes := range map[string]map[string]string{
		"managed": {"townsquare:acmeEmail": "tls@example.org"},
		"local":   {"townsquare:database": "local", "townsquare:host": "@", "townsquare:size": "s-8vcpu-16gb"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := userData(newHostData(testConfig(t, changes)))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "user-data-"+name+".yaml", redacted(t, data))

			// What cloud-init reads is what the templates say, byte for byte.
			var read cloudConfig
			if err := yaml.Unmarshal([]byte(data), &read); err != nil {
				t.Fatal(err)
			}
			for i, f := range newHostData(testConfig(t, changes)).files() {
				want, err := f.render()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, read.WriteFiles[i].Content); diff != "" {
					t.Errorf("%s (-want +got):\n%s", f.path, diff)
				}
				if strings.Contains(want, "<no value>") || strings.Contains(want, "{{") {
					t.Errorf("%s has a hole in it", f.path)
				}
			}
			if got := read.SSHKeys["ed25519_private"]; got != testConfig(t, changes).HostKey.Private {
				t.Error("the host key is not what was configured")
			}
		})
	}
}

func TestScriptsAreClean(t *testing.T) {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Fatal("shellcheck is missing: type  sudo scripts/install-packages.sh test")
	}
	for _, database := range []string{"managed", "local"} {
		for _, f := range newHostData(testConfig(t, map[string]string{"townsquare:database": database})).files() {
			text, err := f.render()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(text, "#!/bin/") {
				continue
			}
			path := filepath.Join(t.TempDir(), f.template)
			if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(shellcheck, path).CombinedOutput(); err != nil {
				t.Errorf("%s, database %s: %v\n%s", f.path, database, err, out)
			}
		}
	}
}

func TestUnitsRefuseToRunOnEmptyDirectories(t *testing.T) {
	want := map[string]string{
		"/etc/systemd/system/mattermost.service":                           "RequiresMountsFor=/var/lib/mattermost",
		"/etc/systemd/system/postgresql@17-main.service.d/townsquare.conf": "RequiresMountsFor=/var/lib/postgresql",
		"/etc/systemd/system/var-lib-mattermost.mount":                     "What=/dev/disk/by-id/scsi-0DO_Volume_townsquare-prod-files",
		"/etc/systemd/system/var-lib-postgresql.mount":                     "What=/dev/disk/by-id/scsi-0DO_Volume_townsquare-prod-database",
		"/etc/ssh/sshd_config.d/10-townsquare.conf":                        "PermitRootLogin no",
		"/etc/postgresql-common/createcluster.d/townsquare.conf":           "create_main_cluster = false",
	}
	for _, f := range newHostData(testConfig(t, map[string]string{"townsquare:database": "local"})).files() {
		line, ok := want[f.path]
		if !ok {
			continue
		}
		delete(want, f.path)
		text, err := f.render()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s does not say %s", f.path, line)
		}
	}
	for path := range want {
		t.Errorf("%s is missing", path)
	}
}

// The first-boot script takes backports from wherever the image gets Debian, in either format.
func TestMirrorOfTheImage(t *testing.T) {
	script, err := hostFile{template: "first-boot", data: newHostData(testConfig(t, nil))}.render()
	if err != nil {
		t.Fatal(err)
	}
	begin, end := strings.Index(script, "mirror() {"), strings.Index(script, "backports() {")
	for _, test := range []struct{ title, file, content, want string }{
		{"deb822", "sources.list.d/debian.sources", `
# a comment
Types: deb deb-src
URIs: https://mirror.example.org/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.example.org/debian-security
Suites: trixie-security
Components: main
`, "https://mirror.example.org/debian\n/usr/share/keyrings/debian-archive-keyring.gpg\n"},
		{"no keyring", "sources.list.d/debian.sources", "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie trixie-backports\nComponents: main\n",
			"mirror+file:///etc/apt/mirrors/debian.list\n\n"},
		{"only sources", "sources.list.d/debian.sources", "Types: deb-src\nURIs: https://mirror.example.org/debian\nSuites: trixie\n", ""},
		{"one line", "sources.list", "# deb https://old.example.org/debian trixie main\ndeb https://mirror.example.org/debian trixie main\n",
			"https://mirror.example.org/debian\n\n"},
		{"one line with options", "sources.list.d/debian.list", "deb [ arch=amd64 signed-by=/etc/apt/keyrings/d.gpg ] https://mirror.example.org/debian trixie main\n",
			"https://mirror.example.org/debian\n/etc/apt/keyrings/d.gpg\n"},
		{"one line with tight options", "sources.list.d/debian.list", "deb [signed-by=/etc/apt/keyrings/d.gpg] https://mirror.example.org/debian trixie main\n",
			"https://mirror.example.org/debian\n/etc/apt/keyrings/d.gpg\n"},
		{"another release", "sources.list", "deb https://mirror.example.org/debian bookworm main\n", ""},
	} {
		t.Run(test.title, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, test.file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("bash", "-euo", "pipefail", "-c", "apt_sources="+dir+"\n"+script[begin:end]+"\nmirror trixie").CombinedOutput()
			if err != nil || string(out) != test.want {
				t.Errorf("got %q (%v), want %q", out, err, test.want)
			}
		})
	}
}
