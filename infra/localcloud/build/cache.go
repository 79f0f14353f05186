// Package build makes what is slow to make, once: programs built from their Go modules, and whatever else the local
// cloud's other packages describe as an Entry. Results live in one directory outside the tree, each under a name
// that contains a hash of everything it was made from, so that a change of an input makes a new one, nothing is
// ever stale, and the directory can be deleted at any time.
package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultDir is where the cache is unless $TOWNSQUARE_CACHE says otherwise.
const DefaultDir = "/var/cache/townsquare"

// Cache is a directory of finished entries. Several processes may use one at the same time.
type Cache struct {
	Dir      string
	Progress *Progress
}

// NewCache is the cache in $TOWNSQUARE_CACHE, or DefaultDir, that talks to a person through p.
func NewCache(p *Progress) *Cache {
	return &Cache{Dir: cmp.Or(os.Getenv("TOWNSQUARE_CACHE"), DefaultDir), Progress: p}
}

// Entry describes one directory of the cache and how to make it.
type Entry struct {
	Kind  string        // folder of the cache: "tools", "mirror", "base"
	Name  string        // "pulumi"; with Kind it is what people see in the cache; empty if a kind has no names
	Key   string        // see Key
	What  string        // for people: "pulumi 3.253.0"
	Why   string        // for people: "the engine that runs infra/"
	Usual time.Duration // how long Make takes when nothing is cached, on two cores
	Heavy bool          // uses all cores or much memory: only one such runs at a time on this machine
	// Make fills dir, which is empty and on the cache's file system. Whatever it leaves there when it fails is
	// removed. It returns a few words on the result ("78.2 MB").
	Make func(ctx context.Context, dir string, step *Step) (string, error)
}

// Path is where e is, or will be.
func (c *Cache) Path(e Entry) string {
	return filepath.Join(c.Dir, e.Kind, strings.TrimPrefix(e.Name+"-"+e.Key, "-"))
}

// Has says whether e is made.
func (c *Cache) Has(e Entry) bool {
	_, err := os.Stat(c.Path(e))
	return err == nil
}

// Get returns the directory of e, after making it if it is not there. The directory appears by one rename, complete
// and synced, or not at all. If another process is making the same entry, Get waits for it and uses the result.
func (c *Cache) Get(ctx context.Context, e Entry) (string, error) {
	path := c.Path(e)
	if c.Has(e) {
		return path, nil
	}
	unlock, err := lock(ctx, path+".lock", e.What, func(string) {
		c.Progress.Say("waiting for another process that is building %s", e.What)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if c.Has(e) {
		return path, nil
	}
	if e.Heavy {
		release, err := lock(ctx, filepath.Join(c.Dir, "tools", "heavy.lock"), e.What, func(holder string) {
			c.Progress.Say("waiting to build %s: one heavy build at a time, now %s", e.What, cmp.Or(holder, "another"))
		})
		if err != nil {
			return "", err
		}
		defer release()
	}
	if err := c.make(ctx, e, path); err != nil {
		return "", fmt.Errorf("build %s: %w", e.What, err)
	}
	return path, nil
}

// make runs e.Make in a temporary directory beside path and renames it. The caller holds the entry's lock, so any
// other temporary directory of this entry belongs to a process that died.
func (c *Cache) make(ctx context.Context, e Entry, path string) error {
	parent, base := filepath.Split(path)
	stale, _ := filepath.Glob(filepath.Join(parent, ".making-"+base+"-*"))
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp(parent, ".making-"+base+"-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // nothing is left to remove after the rename
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	step := c.Progress.Step(e.What, e.Why, e.Usual)
	result, err := e.Make(ctx, tmp, step)
	if err == nil {
		err = syncDisk(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		step.Failed()
		return err
	}
	step.Done("%s, kept in %s", cmp.Or(result, "done"), path)
	return syncDisk(parent)
}

// Key hashes what an entry is made from into the end of its name. Parts are kept apart: Key("ab") is not
// Key("a", "b").
func Key(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// syncDisk flushes the file system that dir is on: the rename that follows must never make a directory appear whose
// files a power cut then empties. One by one, the files of a whole Debian would take minutes.
func syncDisk(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
