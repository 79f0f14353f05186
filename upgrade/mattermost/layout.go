package mattermost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
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
// ships under a surviving name is an example: the real one takes its place.
func Furnish(dir, owner string, places []Place) error {
	for _, p := range places {
		path := filepath.Join(dir, p.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("furnish %s: %w", dir, err)
		}
		if now, err := os.Readlink(path); err == nil && now == p.Target {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("furnish %s: %w", dir, err)
		}
		if err := os.Symlink(p.Target, path); err != nil {
			return fmt.Errorf("furnish %s: %w", dir, err)
		}
		if p.Move || p.Custom {
			continue
		}
		if !filepath.IsAbs(p.Target) {
			continue
		}
		if _, err := os.Stat(p.Target); errors.Is(err, fs.ErrNotExist) {
			// The way there is for everybody, or the service's user could not go it.
			err := os.MkdirAll(filepath.Dir(p.Target), 0o755)
			if err == nil {
				err = os.Mkdir(p.Target, 0o750)
			}
			if err != nil {
				return fmt.Errorf("furnish %s: %w", dir, err)
			}
			if err := chownTo(p.Target, owner); err != nil {
				return fmt.Errorf("furnish %s: %w", dir, err)
			}
		}
	}
	return nil
}

// GiveClient gives the web client's files to the service's user: the server rewrites some of them
// in place at every start. The links in it are left alone.
func GiveClient(dir, owner string) error {
	return filepath.WalkDir(filepath.Join(dir, "client"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && d == nil {
			return nil
		}
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return chownTo(path, owner)
	})
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
