//go:build machine

package mattermost

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A sandbox that nothing disturbs has everything, and all of it is the user's.
func TestSandboxIsTheUsers(t *testing.T) {
	p := newPrey(t)
	version, plugins := filepath.Join(p.base, "version"), filepath.Join(p.home, "plugins")
	plant(t, version, "bin/mattermost", "client/root.html", "client/plugins -> /nowhere", "data/")
	plant(t, plugins, "a/plugin.json")
	p.give(p.home)
	s := &Sandbox{Dir: filepath.Join(p.base, "rehearsal"), Version: version, Plugins: plugins, Unit: &Unit{User: service}, Config: []byte(`{"A": {}}`)}
	must(t, s.furnish(t.Context()))
	for _, name := range []string{"client/root.html", "plugins/a/plugin.json", "config/config.json", "client/plugins", "."} {
		if !Owns(service, filepath.Join(s.Dir, name)) {
			t.Errorf("%s is not %s's", name, service)
		}
	}
}

// What is said to be as it was is: an administrator's link at config.json, of the service's user since
// `chown -R`, and the file that it leads to keep their owners and modes.
func TestConfigBehindALink(t *testing.T) {
	for _, directory := range []string{"the user's", "root's"} {
		p := newPrey(t)
		own := filepath.Join(p.base, "administrators")
		plant(t, own, "mm.json")
		plant(t, p.home, "config.json -> "+filepath.Join(own, "mm.json"))
		p.give(p.home, filepath.Join(own, "mm.json"))
		if directory == "the user's" {
			p.give(own)
		}
		must(t, os.Chmod(filepath.Join(own, "mm.json"), 0o640))
		before, home := state(t, own), state(t, p.home)
		path, kept := filepath.Join(p.home, "config.json"), filepath.Join(p.base, "kept", "run.json")
		must(t, CopyConfig(service, path, kept), os.WriteFile(path, []byte("what the new version made of it"), 0o600))
		for range 2 {
			must(t, PutBackConfig(service, kept, path))
			if diff := cmp.Diff(before, state(t, own)) + cmp.Diff(home, state(t, p.home)); diff != "" {
				t.Errorf("in a directory that is %s: %s", directory, diff)
			}
		}
	}
}

// A config.json of root's in a directory of root's is written by root, and stays root's.
func TestConfigOfRoots(t *testing.T) {
	p := newPrey(t)
	path, kept := filepath.Join(p.etc, "config.json"), filepath.Join(p.base, "kept", "run.json")
	must(t, CopyConfig(service, path, kept), os.WriteFile(path, []byte("changed"), 0o600), PutBackConfig(service, kept, path))
	p.unhurt()
	must(t, os.Remove(path), PutBackConfig(service, kept, path))
	data, err := ReadConfig(service, path)
	if err != nil || !bytes.Equal(data, []byte(secretText)) || !Owns(service, path) {
		t.Errorf("a file that was gone: %s, %v", data, err)
	}
}
