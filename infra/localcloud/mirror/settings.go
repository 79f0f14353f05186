package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Settings are what a mirror does at the moment. They are a file in its directory that whoever tests changes
// through Update, and that the mirror reads anew at every request: a change counts from the next request on, also
// one made while the cloud is down.
type Settings struct {
	Version  int                  `json:"version"` // of this file's format: 1
	Packages []string             `json:"packages"`
	ESR      []string             `json:"esr,omitempty"`  // minors marked as Extended Support Release besides the vendor's own
	Ends     map[string]time.Time `json:"ends,omitempty"` // end of support by minor, where it is not the usual
	Faults   []Fault              `json:"faults,omitempty"`
	NextID   int                  `json:"nextId"` // of a fault
}

const settingsFile = "mirror.json"

// ReadSettings reads the settings of the mirror in dir. Those of a new mirror publish nothing.
func ReadSettings(dir string) (Settings, error) {
	path := filepath.Join(dir, settingsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{Version: 1}, nil
	}
	if err != nil {
		return Settings{}, fmt.Errorf("read the mirror's settings: %w", err)
	}
	var s Settings
	if err := json.Unmarshal(text, &s); err != nil {
		return Settings{}, fmt.Errorf("read %s: %w", path, err)
	}
	if s.Version != 1 {
		return Settings{}, fmt.Errorf("read %s: it has version %d, this program knows 1", path, s.Version)
	}
	return s, nil
}

// Update changes the settings of the mirror in dir under a lock. Nothing is written if change returns an error.
func Update(dir string, change func(*Settings) error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, settingsFile+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the mirror's settings: %w", err)
	}
	s, err := ReadSettings(dir)
	if err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, settingsFile), append(text, '\n'), 0o600)
}

// Publish adds packages; publishing one again changes nothing, and a package made anew takes the old one's place.
func (s *Settings) Publish(packages ...Package) {
	for _, p := range packages {
		s.Packages = slices.DeleteFunc(s.Packages, func(dir string) bool {
			old, err := Load(dir)
			return err != nil || old.Number == p.Number && old.Edition == p.Edition
		})
		s.Packages = append(s.Packages, p.Dir)
	}
}

// Withdraw takes versions off the pages and the server, in both editions.
func (s *Settings) Withdraw(numbers ...string) {
	s.Packages = slices.DeleteFunc(s.Packages, func(dir string) bool {
		p, err := Load(dir)
		return err != nil || slices.Contains(numbers, p.Number)
	})
}

// AddFault switches a fault on and returns it as it is now known.
func (s *Settings) AddFault(f Fault) (Fault, error) {
	if err := f.check(); err != nil {
		return Fault{}, err
	}
	s.NextID++
	f.ID = s.NextID
	s.Faults = append(s.Faults, f)
	return f, nil
}

// catalogue loads what is published. A package whose directory is gone is an error that says what to type.
func (s Settings) catalogue(now time.Time) (catalogue, error) {
	c := catalogue{esr: s.ESR, ends: s.Ends, now: now}
	for _, dir := range s.Packages {
		p, err := Load(dir)
		if err != nil {
			return catalogue{}, fmt.Errorf("%w (was the cache emptied? publish the version again)", err)
		}
		c.packages = append(c.packages, p)
	}
	return c, nil
}
