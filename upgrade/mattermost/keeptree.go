package mattermost

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"townsquare/upgrade/internal/untrusted"
)

// KeepTree gives every file below dir a second name below kept, which is on the same file system and
// must not exist. That takes neither time nor room, and holds what is there now: a server removes the
// files of a plugin and makes others, but never writes into one. What vanishes meanwhile is left out.
// (utils.CopyDir and removePluginLocally in the server's channels/app/plugin_install.go.)
func KeepTree(dir, kept string) error {
	if err := keepTree(dir, kept); err != nil {
		return fmt.Errorf("keep %s: %w", dir, err)
	}
	return nil
}

func keepTree(dir, kept string) error {
	above, err := untrusted.OpenDir(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer above.Close()
	info, err := above.Lstat(filepath.Base(dir))
	if err != nil {
		return err
	}
	from, err := untrusted.Sub(above, filepath.Base(dir), info)
	if err != nil {
		return err
	}
	defer from.Close()
	beside, err := untrusted.OpenDir(filepath.Dir(kept))
	if err != nil {
		return err
	}
	defer beside.Close()
	return keepDir(from, info, beside, filepath.Base(kept))
}

// keepDir keeps what is in from as name in beside, where only root can go.
func keepDir(from *os.Root, info fs.FileInfo, beside *os.Root, name string) error {
	if err := beside.Mkdir(name, 0o700); err != nil {
		return err
	}
	to, err := beside.OpenRoot(name)
	if err != nil {
		return err
	}
	defer to.Close()
	entries, err := fs.ReadDir(from.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ignoreMissing(keepEntry(from, to, e.Name())); err != nil {
			return err
		}
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := beside.Lchown(name, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	return beside.Chmod(name, info.Mode())
}

func keepEntry(from, to *os.Root, name string) error {
	info, err := from.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return untrusted.Link(from, name, to)
	}
	sub, err := untrusted.Sub(from, name, info)
	if err != nil {
		return err
	}
	defer sub.Close()
	return keepDir(sub, info, to, name)
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
