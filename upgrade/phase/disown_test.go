package phase

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"townsquare/upgrade/mattermost"
)

// The hint is typed into a shell as it stands: the installation must be whole afterwards, whatever the
// package's removal takes along.
func TestDisownKeepsTheInstallation(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "mattermost")
	bin := filepath.Join(root, "bin")
	for path, text := range map[string]string{
		filepath.Join(dir, "bin/mattermost"): "program",
		filepath.Join(root, "unit"):          "[Service]\n",
		filepath.Join(bin, "sudo"):           "#!/bin/sh\nexec \"$@\"\n",
		filepath.Join(bin, "systemctl"):      "#!/bin/sh\ncase $1 in show) echo " + filepath.Join(root, "unit") + ";; esac\n",
		filepath.Join(bin, "apt-get"):        "#!/bin/sh\nrm -rf " + dir + " " + filepath.Join(root, "unit") + "\n",
		filepath.Join(bin, "cp"):             "#!/bin/sh\nexec /bin/cp \"$1\" " + filepath.Join(root, "kept-unit") + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hint := disown(&mattermost.Installation{Dir: dir, Unit: &mattermost.Unit{Name: "mattermost.service"}}, "mattermost")
	cmd := exec.Command("sh", "-ec", hint)
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v: %s", hint, err, out)
	}
	for _, path := range []string{filepath.Join(dir, "bin/mattermost"), filepath.Join(root, "kept-unit")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// A sandboxed unit is told of a directory that is not there yet: without the minus its next start fails.
func TestMayNotWrite(t *testing.T) {
	list := mayNotWrite("chat.service", []string{"/var/lib/mattermost"})
	want := `sudo install -d /etc/systemd/system/chat.service.d && printf '[Service]\nReadWritePaths=-/var/lib/mattermost\n' | ` +
		`sudo tee /etc/systemd/system/chat.service.d/townsquare.conf && sudo systemctl daemon-reload`
	if len(list) != 1 || list[0].Hint != want {
		t.Errorf("got %v\nwant one problem with %s", list, want)
	}
	if got := mayNotWrite("chat.service", nil); got != nil {
		t.Errorf("got %v", got)
	}
}
