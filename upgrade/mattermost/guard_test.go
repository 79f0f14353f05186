package mattermost

import (
	"os"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"
)

// The directories that are the service's user's become root's and sticky, and no others; a link in the
// way is no way.
func TestGuard(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(root, "theirs", "ours", "inner")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if Guard(inner, me.Username) == nil {
			t.Error("nobody but root can do that")
		}
		return
	}
	for _, name := range []string{filepath.Join(root, "theirs"), inner} {
		if err := os.Chown(name, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := Guard(inner, "daemon"); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"theirs": 0o775 | os.ModeSticky, "theirs/ours": 0o755, "theirs/ours/inner": 0o775 | os.ModeSticky} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode() &^ os.ModeDir; got != mode || info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("%s has %v of user %d, want %v of root", name, got, info.Sys().(*syscall.Stat_t).Uid, mode)
		}
	}
	if err := os.Symlink(inner, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if Guard(filepath.Join(root, "link"), "daemon") == nil {
		t.Error("it went by a link")
	}
}
