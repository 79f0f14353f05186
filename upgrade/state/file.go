package state

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/internal/durable"
)

// Path is the record's place on a host.
const Path = Dir + "/state.json"

// maxHistory is how many finished runs are remembered.
const maxHistory = 100

// ErrNewer says that a newer upgrader wrote the record; this one must not touch it.
var ErrNewer = errors.New("written by a newer upgrader")

// Load reads the record at path. A file that is not there is an empty record; one of another kind,
// of a newer version, or that does not parse is refused.
func Load(path string) (*State, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &State{Kind: Kind, Version: Version}, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// Parse reads a record from JSON, under the rules of Load.
func Parse(data []byte) (*State, error) {
	var head struct {
		Kind    string `json:"kind"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	if head.Kind != Kind {
		return nil, fmt.Errorf("kind is %q, not %q", head.Kind, Kind)
	}
	if head.Version > Version {
		return nil, fmt.Errorf("format %d: %w, which knows more than format %d", head.Version, ErrNewer, Version)
	}
	if head.Version < 1 {
		return nil, fmt.Errorf("format %d does not exist", head.Version)
	}
	s := new(State)
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields() // to drop one at the next Save could leave a run that nobody can put back
	if err := strict.Decode(s); err != nil {
		if strings.Contains(err.Error(), "unknown field") {
			err = fmt.Errorf("%w: %w", ErrNewer, err)
		}
		return nil, err
	}
	upgradeSteps(s)
	return s, nil
}

// Save writes the record to path so that a power cut leaves either the old or the new one: a
// temporary file beside it, fsync, rename, fsync of the directory. Mode 0600, as error texts in
// the history can name internals.
func (s *State) Save(path string) error {
	s.Kind, s.Version = Kind, Version
	if n := len(s.History) - maxHistory; n > 0 {
		s.History = append([]Finished(nil), s.History[n:]...)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err = replace(path, append(data, '\n'))
	if errors.Is(err, syscall.ENOSPC) && os.Remove(path+roomSuffix) == nil {
		err = replace(path, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if s.Run == nil || !s.Run.Stopped { // else what was given up is needed to bring the service back
		keepRoom(path + roomSuffix)
	}
	return nil
}

func replace(path string, data []byte) error {
	if err := renameio.WriteFile(path, data, 0o600, renameio.IgnoreUmask()); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// Beside the record is a file that only takes room, for a disk that fills in the middle of a run:
// to put things back, the record must be written. That is many times its size, as others want the
// room as well.
const (
	roomSuffix = ".room"
	roomBytes  = 2 << 20
)

// keepRoom makes the file if it is missing. Where that cannot be done, the disk is full already.
func keepRoom(path string) {
	if _, err := os.Stat(path); err == nil {
		return
	}
	noise := make([]byte, roomBytes)
	_, _ = rand.Read(noise) // what nobody can pack or leave out; it never fails
	if err := os.WriteFile(path, noise, 0o600); err != nil {
		_ = os.Remove(path)
	}
}
