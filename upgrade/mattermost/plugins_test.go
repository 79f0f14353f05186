package mattermost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRunningPlugins(t *testing.T) {
	root := t.TempDir()
	plugins := filepath.Join(root, "state")
	for _, dir := range []string{plugins, filepath.Join(root, "sys/fs/cgroup/system.slice/mm.service/sub"), filepath.Join(root, "opt")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(plugins, filepath.Join(root, "opt/plugins")); err != nil {
		t.Fatal(err)
	}
	for pid, program := range map[string]string{"1": "/opt/mattermost/bin/mattermost", "2": plugins + "/org.b/server/dist/plugin", "3": plugins + "/org.a/server/dist/plugin",
		"4": plugins + "/org.b/helper", "5": plugins + "-other/org.c/x"} {
		if err := os.MkdirAll(filepath.Join(root, "proc", pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(program, filepath.Join(root, "proc", pid, "exe")); err != nil {
			t.Fatal(err)
		}
	}
	for group, pids := range map[string]string{"": "1\n2\n5\n99\n", "sub": "3\n4\n"} {
		if err := os.WriteFile(filepath.Join(root, "sys/fs/cgroup/system.slice/mm.service", group, "cgroup.procs"), []byte(pids), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := pluginsOf(root, "/system.slice/mm.service", filepath.Join(root, "opt/plugins"))
	if diff := cmp.Diff([]string{"org.a", "org.b"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := pluginsOf(root, "/system.slice/none.service", plugins); len(got) != 0 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}
