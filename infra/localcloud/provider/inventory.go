package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/google/renameio/v2"
)

// inventoryVersion is the layout of the inventory file; a file of another layout is refused.
const inventoryVersion = 1

// firstNumber is where the cloud's numeric ids start: large, as at DigitalOcean, so that nothing
// comes to rely on small ones.
const firstNumber = 410_000_001

// Inventory is all that one cloud has, in one file of its state directory: what an account is at
// DigitalOcean. Several processes may use it at once.
type Inventory struct {
	dir   string
	local sync.Mutex // flock is per open file, so goroutines of this process need a lock of their own
}

// Contents is the inventory's file. It holds secrets (database passwords, Spaces keys), as the
// account does; the file is readable by root only.
type Contents struct {
	Kind       string                                `json:"kind"`
	Version    int                                   `json:"version"`
	LastNumber int                                   `json:"lastNumber"`
	Resources  map[string]map[string]json.RawMessage `json:"resources"` // by type, then id
	Machines   map[string]Placement                  `json:"machines"`  // by droplet or cluster id

	// NewRegions are those in which the account has had no VPC yet.
	NewRegions []string `json:"newRegions,omitempty"`
}

// errNotFound says that the cloud has no such resource, as DigitalOcean's 404 does.
var errNotFound = errors.New("404: the resource you were accessing could not be found")

// View calls look with the inventory as it is.
func (inv *Inventory) View(look func(*Contents) error) error {
	return inv.locked(func() error {
		contents, err := inv.load()
		if err != nil {
			return err
		}
		return look(contents)
	})
}

// Change calls change with the inventory and, unless it returns an error, saves what it left. No
// other process sees or changes the inventory meanwhile, so change must be quick.
func (inv *Inventory) Change(change func(*Contents) error) error {
	return inv.locked(func() error {
		contents, err := inv.load()
		if err != nil {
			return err
		}
		if err := change(contents); err != nil {
			return err
		}
		data, err := json.MarshalIndent(contents, "", "  ")
		if err != nil {
			return fmt.Errorf("encode inventory: %w", err)
		}
		if err := renameio.WriteFile(inv.file(), data, 0o600); err != nil {
			return fmt.Errorf("save inventory: %w", err)
		}
		return nil
	})
}

func (inv *Inventory) file() string { return filepath.Join(inv.dir, "inventory.json") }

func (inv *Inventory) locked(do func() error) error {
	inv.local.Lock()
	defer inv.local.Unlock()
	lock, err := os.OpenFile(filepath.Join(inv.dir, "inventory.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock inventory: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock inventory: %w", err)
	}
	return do()
}

func (inv *Inventory) load() (*Contents, error) {
	contents := &Contents{
		Kind: "townsquare/cloud-inventory", Version: inventoryVersion, LastNumber: firstNumber - 1,
		Resources: map[string]map[string]json.RawMessage{}, Machines: map[string]Placement{},
	}
	data, err := os.ReadFile(inv.file())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return contents, nil
	case err != nil:
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	if err := json.Unmarshal(data, contents); err != nil {
		return nil, fmt.Errorf("read inventory %s: %w", inv.file(), err)
	}
	if contents.Version != inventoryVersion {
		return nil, fmt.Errorf("read inventory %s: version %d, this program knows %d", inv.file(), contents.Version, inventoryVersion)
	}
	return contents, nil
}

// number hands out the next numeric id; ids are never used twice.
func (c *Contents) number() string {
	c.LastNumber++
	return fmt.Sprint(c.LastNumber)
}

func (c *Contents) put(kind, id string, state any) error {
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("record %s %s: %w", kind, id, err)
	}
	if c.Resources[kind] == nil {
		c.Resources[kind] = map[string]json.RawMessage{}
	}
	c.Resources[kind][id] = data
	return nil
}

func (c *Contents) drop(kind, id string) {
	delete(c.Resources[kind], id)
	if len(c.Resources[kind]) == 0 {
		delete(c.Resources, kind)
	}
}

// get fills state from the resource, or returns errNotFound.
func (c *Contents) get(kind, id string, state any) error {
	data, ok := c.Resources[kind][id]
	if !ok {
		return fmt.Errorf("%s %q: %w", kind, id, errNotFound)
	}
	if err := json.Unmarshal(data, state); err != nil {
		return fmt.Errorf("read %s %s: %w", kind, id, err)
	}
	return nil
}

// all returns every resource of a kind, by id.
func all[O any](c *Contents, kind string) (map[string]O, error) {
	found := make(map[string]O, len(c.Resources[kind]))
	for id := range c.Resources[kind] {
		var state O
		if err := c.get(kind, id, &state); err != nil {
			return nil, err
		}
		found[id] = state
	}
	return found, nil
}
