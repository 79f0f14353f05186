package mattermost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"townsquare/upgrade/internal/durable"
)

// Move renames from to to and leaves a link at from, so that the version which has it there works
// on as before. Whatever part of it was done already is not done again.
func Move(from, to string) error {
	info, err := os.Lstat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Moved, and the power went before the link was made.
		if _, err := os.Lstat(to); err != nil {
			return fmt.Errorf("move %s: %w", from, err)
		}
	case err != nil:
		return fmt.Errorf("move %s: %w", from, err)
	case info.Mode()&fs.ModeSymlink != 0:
		if target, err := os.Readlink(from); err == nil && target == to {
			return nil
		}
		return fmt.Errorf("move %s: it is a link already", from)
	default:
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("move %s: %w", from, err)
		}
		if _, err := os.Lstat(to); err == nil {
			// An empty directory may wait there; anything else is not ours to replace.
			if err := syscall.Rmdir(to); err != nil {
				return fmt.Errorf("move %s: refusing to replace %s", from, to)
			}
		}
		if err := os.Rename(from, to); err != nil {
			return fmt.Errorf("move %s: %w", from, err)
		}
	}
	if err := os.Symlink(to, from); err != nil {
		return fmt.Errorf("move %s: %w", from, err)
	}
	return errors.Join(durable.SyncDir(filepath.Dir(to)), durable.SyncDir(filepath.Dir(from)))
}

// Vacant says whether there is nothing at path, or an empty directory.
func Vacant(path string) bool {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	entries, err := os.ReadDir(path)
	return err == nil && len(entries) == 0
}

// MoveBack undoes Move; it does nothing when Move never began.
func MoveBack(from, to string) error {
	info, err := os.Lstat(from)
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink == 0:
		if !Vacant(to) {
			// Made by a server that was started in between, which did not find its own.
			return fmt.Errorf("move %s back: it is there, and so is %s: which one is it?", from, to)
		}
		return nil
	case err == nil:
		if target, err := os.Readlink(from); err != nil || target != to {
			return err
		}
		if err := os.Remove(from); err != nil {
			return fmt.Errorf("move %s back: %w", from, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("move %s back: %w", from, err)
	}
	if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Rename(to, from); err != nil {
		return fmt.Errorf("move %s back: %w", from, err)
	}
	return errors.Join(durable.SyncDir(filepath.Dir(to)), durable.SyncDir(filepath.Dir(from)))
}

// Point makes link a link to target by one rename(2), so that it leads to the old version or to
// the new one at every moment. A real directory at link is refused: Adopt is for that.
func Point(link, target string) error {
	if info, err := os.Lstat(link); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("point %s to %s: refusing to replace what is not a link", link, target)
	}
	if now, err := os.Readlink(link); err == nil && now == target {
		return nil
	}
	next := nextTo(link)
	if err := ignoreMissing(os.Remove(next)); err != nil {
		return fmt.Errorf("point %s to %s: %w", link, target, err)
	}
	if err := os.Symlink(target, next); err != nil {
		return fmt.Errorf("point %s to %s: %w", link, target, err)
	}
	if err := os.Rename(next, link); err != nil {
		return fmt.Errorf("point %s to %s: %w", link, target, err)
	}
	return durable.SyncDir(filepath.Dir(link))
}

// Unpoint removes the link, as before a first install; a link that is gone already is no error.
func Unpoint(link string) error {
	info, err := os.Lstat(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("refusing to remove %s: it is not a link", link)
	}
	if err := os.Remove(link); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(link))
}

func nextTo(link string) string {
	return filepath.Join(filepath.Dir(link), "."+filepath.Base(link)+".townsquare")
}

// Adopt puts a link to target where a plain directory is, and the directory to kept. The exchange
// is one renameat2(2) where the file system can do that.
func Adopt(link, kept, target string) error {
	info, err := os.Lstat(link)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return finishAdopt(link, kept, target) // exchanged before
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("adopt %s: %w", link, err)
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return fmt.Errorf("adopt %s: %w", link, err)
	}
	if _, err := os.Lstat(kept); err == nil && info != nil {
		return fmt.Errorf("adopt %s: refusing to replace %s", link, kept)
	}
	next := nextTo(link)
	if err := removeLink(next); err != nil {
		return fmt.Errorf("adopt %s: %w", link, err)
	}
	if err := os.Symlink(target, next); err != nil {
		return fmt.Errorf("adopt %s: %w", link, err)
	}
	err = exchange(next, link)
	if err != nil {
		// No exchange here, or the directory is gone from link already: two renames. The service is
		// stopped, so nobody misses the link in between, and the record knows kept.
		if info != nil {
			if err := os.Rename(link, kept); err != nil {
				return fmt.Errorf("adopt %s: %w", link, err)
			}
		}
		if err := os.Rename(next, link); err != nil {
			return fmt.Errorf("adopt %s: %w", link, err)
		}
	}
	return finishAdopt(link, kept, target)
}

// finishAdopt moves the exchanged directory from its passing name to kept.
func finishAdopt(link, kept, target string) error {
	next := nextTo(link)
	if info, err := os.Lstat(next); err == nil && info.IsDir() {
		if err := os.Rename(next, kept); err != nil {
			return fmt.Errorf("adopt %s: %w", link, err)
		}
	}
	if err := Point(link, target); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(filepath.Dir(kept)), durable.SyncDir(filepath.Dir(link)))
}

// Unadopt puts the plain directory back at link, from wherever Adopt left it; it does nothing when
// it is there.
func Unadopt(link, kept string) error {
	next := nextTo(link)
	if info, err := os.Lstat(link); err == nil && info.IsDir() {
		return errors.Join(removeLink(next), removeLink(kept))
	}
	from := kept
	if info, err := os.Lstat(next); err == nil && info.IsDir() {
		from = next
	}
	if info, err := os.Lstat(from); err != nil || !info.IsDir() {
		return fmt.Errorf("put %s back: there is no directory %s", link, from)
	}
	if err := exchange(from, link); err != nil {
		if err := Unpoint(link); err != nil {
			return fmt.Errorf("put %s back: %w", link, err)
		}
		if err := os.Rename(from, link); err != nil {
			return fmt.Errorf("put %s back: %w", link, err)
		}
	}
	// After an exchange the link is where the directory was.
	if err := errors.Join(removeLink(from), removeLink(next)); err != nil {
		return fmt.Errorf("put %s back: %w", link, err)
	}
	return errors.Join(durable.SyncDir(filepath.Dir(kept)), durable.SyncDir(filepath.Dir(link)))
}

// removeLink removes path if it is a link, and nothing else.
func removeLink(path string) error {
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	return ignoreMissing(os.Remove(path))
}
