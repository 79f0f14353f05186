package mattermost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"townsquare/upgrade/internal/durable"
	"townsquare/upgrade/internal/untrusted"
)

// Move renames from to to and leaves a link at from, so that the version which has it there works
// on as before. Whatever part of it was done already is not done again. Links of another user's on the
// way to either are an error.
func Move(from, to string) error {
	if err := move(from, to); err != nil {
		return fmt.Errorf("move %s: %w", from, err)
	}
	return nil
}

func move(from, to string) error {
	fromDir, err := untrusted.OpenDir(filepath.Dir(from))
	if err != nil {
		return err
	}
	defer fromDir.Close()
	toDir, err := untrusted.MakeDir(filepath.Dir(to), 0o755)
	if err != nil {
		return err
	}
	defer toDir.Close()
	fromName, toName := filepath.Base(from), filepath.Base(to)
	info, err := fromDir.Lstat(fromName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Moved, and the power went before the link was made.
		if _, err := toDir.Lstat(toName); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		if target, err := fromDir.Readlink(fromName); err == nil && target == to {
			return nil
		}
		return errors.New("it is a link already")
	default:
		if waits, err := toDir.Lstat(toName); err == nil {
			// An empty directory may wait there; anything else is not ours to replace.
			if !waits.IsDir() || toDir.Remove(toName) != nil {
				return fmt.Errorf("refusing to replace %s", to)
			}
		}
		if err := untrusted.Move(fromDir, fromName, toDir, toName); err != nil {
			return err
		}
	}
	if err := fromDir.Symlink(to, fromName); err != nil {
		return err
	}
	return errors.Join(untrusted.Sync(toDir), untrusted.Sync(fromDir))
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
	if err := moveBack(from, to); err != nil {
		return fmt.Errorf("move %s back: %w", from, err)
	}
	return nil
}

func moveBack(from, to string) error {
	fromDir, err := untrusted.OpenDir(filepath.Dir(from))
	if errors.Is(err, fs.ErrNotExist) && !there(to) {
		return nil
	}
	if err != nil {
		return err
	}
	defer fromDir.Close()
	fromName, toName := filepath.Base(from), filepath.Base(to)
	info, err := fromDir.Lstat(fromName)
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink == 0:
		if !Vacant(to) {
			// Made by a server that was started in between, which did not find its own.
			return fmt.Errorf("it exists, and so does %s: only one of them may", to)
		}
		return nil
	case err == nil:
		if target, err := fromDir.Readlink(fromName); err != nil || target != to {
			return err
		}
		if err := fromDir.Remove(fromName); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	toDir, err := untrusted.OpenDir(filepath.Dir(to))
	if err != nil {
		return ignoreMissing(err)
	}
	defer toDir.Close()
	if _, err := toDir.Lstat(toName); err != nil {
		return ignoreMissing(err)
	}
	if err := untrusted.Move(toDir, toName, fromDir, fromName); err != nil {
		return err
	}
	return errors.Join(untrusted.Sync(toDir), untrusted.Sync(fromDir))
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
