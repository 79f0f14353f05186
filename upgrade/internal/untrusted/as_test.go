//go:build machine

package untrusted

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
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

// Without links, a path of another user's leads nowhere else, for programs as well, on other mounts as well;
// the rest of the process goes on as before.
func TestWithoutLinks(t *testing.T) {
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	for _, dir := range []string{"theirs/dir", "theirs/a disk", "root"} {
		must(t, os.MkdirAll(at(dir), 0o755))
	}
	must(t, os.Chown(at("theirs"), 65534, 65534), unix.Mount("none", at("theirs/a disk"), "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(at("theirs/a disk"), 0)) })
	must(t, os.WriteFile(at("root/secret"), []byte("of-root"), 0o644), os.WriteFile(at("theirs/dir/file"), nil, 0o644),
		os.Symlink(at("root"), at("theirs/link")), os.Symlink(at("root"), at("theirs/a disk/link")))
	for _, link := range []string{"theirs/link", "theirs/a disk/link"} {
		err := WithoutLinks([]string{at("theirs/dir"), at("root")}, func() error {
			if _, err := os.ReadFile(at(link + "/secret")); !errors.Is(err, unix.ELOOP) {
				t.Errorf("%s is followed: %v", link, err)
			}
			if out, err := exec.Command("cat", at(link+"/secret")).CombinedOutput(); err == nil {
				t.Errorf("%s is followed by a program: %s", link, out)
			}
			_, err := os.Stat(at("theirs/dir/file"))
			to, readErr := os.Readlink(at(link))
			if readErr != nil || to != at("root") {
				t.Errorf("%s leads to %q, %v", link, to, readErr)
			}
			return err
		})
		must(t, err)
		if data, err := os.ReadFile(at(link + "/secret")); err != nil || string(data) != "of-root" {
			t.Errorf("afterwards: %q, %v", data, err)
		}
	}
	if err := WithoutLinks([]string{at("root/none")}, func() error { return fs.ErrClosed }); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	if data, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(data), "nosymfollow") {
		t.Errorf("the mounts of the process: %s, %v", data, err)
	}
}
