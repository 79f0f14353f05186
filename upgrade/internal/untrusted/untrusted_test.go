package untrusted

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A pipe, a directory and an endless file are errors at once.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(path("small"), []byte("0123456789"), 0o600), os.WriteFile(path("large"), []byte("0123456789a"), 0o600),
		syscall.Mkfifo(path("pipe"), 0o600), os.Symlink("pipe", path("link")))
	for name, want := range map[string]string{"small": "", "large": "larger than", "pipe": "not a regular file", "link": "not a regular file",
		".": "not a regular file", "/dev/zero": "not a regular file", "none": "no such file"} {
		if !filepath.IsAbs(name) {
			name = path(name)
		}
		data, err := ReadFile(name, 10)
		if want == "" && (err != nil || string(data) != "0123456789") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v; want %q", name, data, err, want)
		}
	}
}

func TestOpenDir(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(base, "a", "b"), 0o755), os.WriteFile(filepath.Join(base, "a", "b", "mark"), nil, 0o600),
		os.Symlink("a/../a/b", filepath.Join(base, "own")), os.Symlink(base+"/own", filepath.Join(base, "whole")),
		os.Symlink("loop", filepath.Join(base, "loop")), os.Mkdir(filepath.Join(base, "open"), 0o700), os.Chmod(filepath.Join(base, "open"), 0o777),
		os.Symlink("../a/b", filepath.Join(base, "open", "link")))
	for name, want := range map[string]error{"a/b": nil, "own": nil, "whole": nil, "loop": syscall.ELOOP, "none": fs.ErrNotExist,
		"a/b/mark": syscall.ENOTDIR, "open/link": ErrLink} {
		dir, err := OpenDir(filepath.Join(base, name))
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err == nil {
			if _, err := dir.Lstat("mark"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			dir.Close()
		}
	}
	for range 2 {
		dir, err := MakeDir(filepath.Join(base, "own", "c", "d"), 0o750)
		must(t, err)
		dir.Close()
	}
	if info, err := os.Stat(filepath.Join(base, "a/b/c/d")); err != nil || info.Mode().Perm()&^0o750 != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestOpenFile(t *testing.T) {
	base := t.TempDir()
	path := func(name string) string { return filepath.Join(base, name) }
	must(t, os.WriteFile(path("file"), []byte("text"), 0o600), os.WriteFile(path("two"), nil, 0o600), os.Link(path("two"), path("names")),
		os.Symlink("file", path("link")), syscall.Mkfifo(path("pipe"), 0o600))
	for name, flag := range map[string]int{"two": os.O_RDONLY, "link": os.O_WRONLY, "pipe": os.O_RDONLY, "none": os.O_WRONLY} {
		if file, err := OpenFile(path(name), flag, 0o600); err == nil {
			t.Errorf("%s is opened", file.Name())
		}
	}
	if data, err := ReadNoLink(path("file"), 10); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	file, err := OpenFile(path("new"), os.O_WRONLY|os.O_CREATE, 0o600)
	must(t, err)
	file.Close()
}

// Nobody but root changes who acts, and an unknown user is an error for root.
func TestAs(t *testing.T) {
	me, err := user.Current()
	must(t, err)
	called := 0
	do := func() error { called++; return fs.ErrClosed }
	if err := As(me.Username, do); !errors.Is(err, fs.ErrClosed) || called != 1 {
		t.Errorf("as oneself: %v, called %d times", err, called)
	}
	if err := As("no such user", do); os.Geteuid() == 0 && (errors.Is(err, fs.ErrClosed) || called != 1) {
		t.Errorf("as a user who does not exist: %v, called %d times", err, called)
	}
}
