//go:build machine

package untrusted

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// What is done as another user can do what that user can, and the rest of the process goes on as root.
func TestAsAnother(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte("of-root"), 0o600))
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := As("nobody", func() error { _, err := os.ReadFile(secret); return err }); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("read as another: %v", err)
			}
			if err := As("nobody", func() error { return os.Chown("/dev/null", 0, 0) }); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("chown as another: %v", err)
			}
			if data, err := os.ReadFile(secret); err != nil || string(data) != "of-root" || os.Geteuid() != 0 || os.Getegid() != 0 {
				t.Errorf("as root again: %q, %v, user %d", data, err, os.Geteuid())
			}
		})
	}
	all.Wait()
	if Writable("nobody", secret) || !Writable("nobody", "/tmp") || Writable("nobody", "/etc") {
		t.Error("Writable is wrong")
	}
}

// Links of another user's are not followed, in whatever directory, nor are root's in a directory of
// another user's.
func TestLinksOfAnother(t *testing.T) {
	base := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(base, "theirs"), 0o755), os.Mkdir(filepath.Join(base, "real"), 0o755), os.Chown(filepath.Join(base, "theirs"), 65534, 65534))
	for _, name := range []string{"link", "theirs/link"} {
		must(t, os.Symlink(filepath.Join(base, "real"), filepath.Join(base, name)))
	}
	if Fixed(filepath.Join(base, "theirs/link")) || !Fixed(filepath.Join(base, "link")) || !Fixed(filepath.Join(base, "theirs")) {
		t.Error("root's link")
	}
	must(t, os.Lchown(filepath.Join(base, "link"), 65534, 65534))
	if _, err := OpenDir(filepath.Join(base, "link")); !errors.Is(err, ErrLink) {
		t.Errorf("another's link: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(base, "real", "file"), nil, 0o600))
	if err := Rename(filepath.Join(base, "link", "file"), filepath.Join(base, "file")); !errors.Is(err, ErrLink) {
		t.Errorf("renamed through another's link: %v", err)
	}
}
