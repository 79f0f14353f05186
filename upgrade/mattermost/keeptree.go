package mattermost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// KeepTree gives every file below dir a second name below kept, which is on the same file system and
// must not exist. That takes neither time nor room, and holds what is there now: a server removes the
// files of a plugin and makes others, but never writes into one. What vanishes meanwhile is left out.
// (utils.CopyDir and removePluginLocally in the server's channels/app/plugin_install.go.)
func KeepTree(dir, kept string) error {
	base := filepath.Dir(dir)
	for !within(base, kept) {
		base = filepath.Dir(base)
	}
	root, err := os.OpenRoot(base) // no link that the service's user makes meanwhile leads out of it
	if err != nil {
		return fmt.Errorf("keep %s: %w", dir, err)
	}
	defer root.Close()
	from, err := filepath.Rel(base, dir)
	if err != nil {
		return fmt.Errorf("keep %s: %w", dir, err)
	}
	to, err := filepath.Rel(base, kept)
	if err != nil {
		return fmt.Errorf("keep %s: %w", dir, err)
	}
	err = fs.WalkDir(root.FS(), from, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = keepEntry(root, path, to+strings.TrimPrefix(path, from), d)
		}
		if path != from && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep %s: %w", dir, err)
	}
	return nil
}

func keepEntry(root *os.Root, path, as string, d fs.DirEntry) error {
	if !d.IsDir() {
		return root.Link(path, as)
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	if err := root.Mkdir(as, 0o700); err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := root.Lchown(as, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	return root.Chmod(as, info.Mode())
}

// SameTree says whether below dir are the very files that KeepTree found there. A kept that is not
// there any more has nothing to say against it.
func SameTree(dir, kept string) (bool, error) {
	if !there(kept) {
		return true, nil
	}
	if !there(dir) {
		return false, nil
	}
	now, err := entries(dir)
	if err != nil {
		return false, err
	}
	was, err := entries(kept)
	if err != nil || len(now) != len(was) {
		return false, err
	}
	for name, a := range was {
		b := now[name]
		if b == nil || a.Mode() != b.Mode() || !a.IsDir() && !os.SameFile(a, b) {
			return false, nil
		}
	}
	return true, nil
}

// entries are all files and directories below dir, by their relative names.
func entries(dir string) (map[string]fs.FileInfo, error) {
	all := map[string]fs.FileInfo{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		all[strings.TrimPrefix(path, dir)], err = d.Info()
		return err
	})
	return all, err
}

// within says whether path is below dir.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
