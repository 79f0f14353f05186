package mattermost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"townsquare/upgrade/internal/untrusted"
)

// Where things live on a host; DESIGN of the layout: versions beside the link, on the same file
// system, and what must survive in StateRoot.
const (
	DefaultLink = "/opt/mattermost"
	StateRoot   = "/var/lib/mattermost"
)

// Root is our own directory beside the link, such as /opt/townsquare: on the link's file system,
// so that what is moved there is renamed, not copied.
func Root(link string) string { return filepath.Join(filepath.Dir(link), "townsquare") }

// VersionDir is the place of one release.
func VersionDir(link, name string) string { return filepath.Join(Root(link), "versions", name) }

// Place is something under the install directory that outlives a version: the server's state, or
// what someone added. In every version's directory it is a link to Target.
type Place struct {
	Name   string // relative to the install directory, such as "client/plugins"
	Target string
	Move   bool // it is still a real file or directory in the install directory: Swap moves it
	Custom bool // nobody's release ships it
}

// survive are the directories a server writes to, with the names they have in the state root.
var survive = []struct{ name, flat string }{
	{"data", "data"}, {"config", "config"}, {"logs", "logs"}, {"plugins", "plugins"}, {"client/plugins", "client-plugins"},
}

// statePlaces finds where each surviving directory of the installation at dir lives now, or will.
func statePlaces(link, dir string) ([]Place, error) {
	root := stateRoot(link, dir)
	var places []Place
	for _, s := range survive {
		place := Place{Name: s.name, Target: filepath.Join(root, s.flat)}
		if dir != "" {
			path := filepath.Join(dir, s.name)
			info, err := os.Lstat(path)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return nil, err
			case info.Mode()&fs.ModeSymlink != 0:
				if place.Target, err = linkTarget(dir, path); err != nil {
					return nil, err
				}
			default:
				place.Move = true
			}
		}
		places = append(places, place)
	}
	return places, nil
}

// linkTarget is what a link at path, somewhere in dir, must say in the directory of another
// version: the same, unless it leads out of dir by a relative way.
func linkTarget(dir, path string) (string, error) {
	target, err := os.Readlink(path)
	if err != nil || filepath.IsAbs(target) {
		return target, err
	}
	whole := filepath.Join(filepath.Dir(path), target)
	if rel, err := filepath.Rel(dir, whole); err == nil && filepath.IsLocal(rel) {
		return target, nil
	}
	return whole, nil
}

// stateRoot is StateRoot, unless what is in dir could not be renamed to there: another file system,
// or something in the way.
func stateRoot(link, dir string) string {
	if dir == "" {
		return StateRoot
	}
	fallback := filepath.Join(Root(link), "state")
	if !sameDevice(dir, StateRoot) {
		return fallback
	}
	for _, s := range survive {
		if entries, err := os.ReadDir(filepath.Join(StateRoot, s.flat)); err == nil && len(entries) > 0 {
			return fallback
		}
	}
	return StateRoot
}

// sameDevice says whether a rename from a to b can work; b, or what of it exists, is looked at.
func sameDevice(a, b string) bool {
	da, err := device(a)
	if err != nil {
		return false
	}
	for {
		db, err := device(b)
		if err == nil {
			return da == db
		}
		if b == filepath.Dir(b) {
			return false
		}
		b = filepath.Dir(b)
	}
}

// Furnish makes the links to places in a new version's directory, and the directories of the
// server's state that do not exist anywhere yet, owned by the service's user. What the release
// ships under a surviving name is an example: the real one takes its place. A directory of the version
// that became a link is an error: the service's user can exchange those below client/.
func Furnish(dir, owner string, places []Place) error {
	for _, p := range places {
		if err := furnish(filepath.Join(dir, p.Name), p.Target); err != nil {
			return fmt.Errorf("furnish %s: %w", dir, err)
		}
		if p.Move || p.Custom || !filepath.IsAbs(p.Target) {
			continue
		}
		if _, err := os.Stat(p.Target); errors.Is(err, fs.ErrNotExist) {
			if err := makeOwned(p.Target, owner); err != nil {
				return fmt.Errorf("furnish %s: %w", dir, err)
			}
		}
	}
	return nil
}

func furnish(path, target string) error {
	parent, err := untrusted.MakeDir(filepath.Dir(path), 0o755)
	if err != nil {
		return err
	}
	defer parent.Close()
	name := filepath.Base(path)
	if now, err := parent.Readlink(name); err == nil && now == target {
		return nil
	}
	if err := parent.RemoveAll(name); err != nil {
		return err
	}
	return parent.Symlink(target, name)
}

// makeOwned makes a directory of the owner's. The way there is for everybody, or the service's user
// could not go it. Root makes it only where the owner may not, and so cannot exchange it.
func makeOwned(path, owner string) error {
	parent, err := untrusted.MakeDir(filepath.Dir(path), 0o755)
	if err != nil {
		return err
	}
	defer parent.Close()
	name := filepath.Base(path)
	err = untrusted.As(owner, func() error { return parent.Mkdir(name, 0o750) })
	if !errors.Is(err, fs.ErrPermission) || os.Geteuid() != 0 {
		return err
	}
	if err := parent.Mkdir(name, 0o750); err != nil {
		return err
	}
	uid, gid, err := ids(owner)
	if err != nil {
		return err
	}
	return parent.Lchown(name, uid, gid)
}

// GiveClient gives the web client's files to the service's user, before the first start of a version
// that Extract made: the server rewrites some of them in place at every start. It does so from the
// inside out, so that nothing of the way to what is left is that user's; a client/ that is given already
// is left alone. Links are, too.
func GiveClient(dir, owner string) error {
	if os.Geteuid() != 0 {
		return nil // only root can, and only root runs this outside of tests
	}
	if err := giveClient(dir, owner); err != nil {
		return fmt.Errorf("give client/ to %s: %w", owner, err)
	}
	return nil
}

func giveClient(dir, owner string) error {
	root, err := untrusted.OpenDir(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat("client")
	if err != nil {
		return ignoreMissing(err)
	}
	uid, gid, err := ids(owner)
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) == uid {
		return err
	}
	return give(root, "client", info, uid, gid)
}

// give gives what Lstat told of name in dir, and all below it, to a user.
func give(dir *os.Root, name string, info fs.FileInfo, uid, gid int) error {
	switch {
	case info.IsDir():
		sub, err := untrusted.Sub(dir, name, info)
		if err != nil {
			return err
		}
		defer sub.Close()
		entries, err := fs.ReadDir(sub.FS(), ".")
		if err != nil {
			return err
		}
		for _, e := range entries {
			info, err := sub.Lstat(e.Name())
			if err == nil {
				err = give(sub, e.Name(), info, uid, gid)
			}
			if err != nil {
				return err
			}
		}
		return sub.Lchown(".", uid, gid)
	case info.Mode().IsRegular():
		file, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		// A file with another name may be in use elsewhere.
		now, err := file.Stat()
		if err != nil || !os.SameFile(info, now) || now.Sys().(*syscall.Stat_t).Nlink != 1 {
			return err
		}
		return file.Chown(uid, gid)
	}
	return nil
}

func chownTo(path, name string) error {
	if os.Geteuid() != 0 {
		return nil // only root can, and only root runs this outside of tests
	}
	uid, gid, err := ids(name)
	if err != nil {
		return err
	}
	return os.Lchown(path, uid, gid)
}

// IDs are a user's numbers.
func IDs(name string) (uid, gid int, err error) { return ids(name) }

func ids(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}
