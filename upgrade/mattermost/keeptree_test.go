package mattermost

import (
	"os"
	"path/filepath"
	"testing"
)

// TestKeepTree: whatever becomes of a directory, it can be told, and be put back as it was.
func TestKeepTree(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error
		same   bool
	}{
		"untouched":         {func(string) error { return nil }, true},
		"same bytes, anew":  {func(dir string) error { return anew(dir+"/board/program", "one") }, false},
		"another version":   {func(dir string) error { return anew(dir+"/board/program", "two") }, false},
		"one more":          {func(dir string) error { return anew(dir+"/calls", "calls") }, false},
		"one less":          {func(dir string) error { return os.Remove(dir + "/board/link") }, false},
		"a file for a link": {func(dir string) error { return anew(dir+"/board/link", "/etc") }, false},
		"all gone":          {os.RemoveAll, false},
		"for others only":   {func(dir string) error { return os.Chmod(dir+"/board", 0o705) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			dir, kept := filepath.Join(base, "state", "plugins"), filepath.Join(base, "beside", "plugins")
			for _, err := range []error{os.MkdirAll(dir+"/board", 0o755), os.Chmod(dir+"/board", 0o750), os.Mkdir(filepath.Dir(kept), 0o700),
				anew(dir+"/board/program", "one"), os.Symlink("/etc", dir+"/board/link"), KeepTree(dir, kept), c.change(dir)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if same, err := SameTree(dir, kept); err != nil || same != c.same {
				t.Errorf("same: %v, %v", same, err)
			}
			replaced := filepath.Join(filepath.Dir(kept), "replaced", "plugins")
			for range 2 {
				if err := Exchange(dir, kept, replaced); err != nil {
					t.Fatal(err)
				}
				if same, err := SameTree(dir, kept); err != nil || !same {
					t.Errorf("put back, and same: %v, %v", same, err)
				}
			}
			text, err := os.ReadFile(dir + "/board/program")
			if err != nil || string(text) != "one" {
				t.Errorf("put back: %q, %v", text, err)
			}
			if target, err := os.Readlink(dir + "/board/link"); err != nil || target != "/etc" {
				t.Errorf("put back: %q, %v", target, err)
			}
			if info, err := os.Stat(dir + "/board"); err != nil || info.Mode().Perm() != 0o750 {
				t.Errorf("put back: %v, %v", info.Mode(), err)
			}
		})
	}
}

// anew makes a file as a server does that installs a plugin: the one that was there goes.
func anew(path, text string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// TestKeepTreeStaysInside: a link in a plugin leads nowhere.
func TestKeepTreeStaysInside(t *testing.T) {
	base := t.TempDir()
	dir, kept := filepath.Join(base, "plugins"), filepath.Join(base, "kept")
	if err := os.Symlink("/etc", dir); err != nil {
		t.Fatal(err)
	}
	if err := KeepTree(dir, kept); err == nil {
		t.Error("followed a link out of where the plugins are")
	}
}
