package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/schedule"
)

// PendingFile remembers since when something waits to be done on a host. It is apart from the record,
// which only a run with the lock may write: a check finds things while a run is at work.
const PendingFile = Dir + "/pending.json"

// Pending is one thing that waits.
type Pending struct {
	What     string    `json:"what"`              // such as "Mattermost 9.10.1"; what is new may have changed since
	Since    time.Time `json:"since"`             // when this host first could have had something newer
	Security time.Time `json:"security,omitzero"` // when first a security fix was among it; zero: none is
}

// Fix is since when a security fix could have been had here: not before the host first could have had
// anything, however long it was out then. Zero: none waits.
func (p Pending) Fix() time.Time {
	if !p.Security.IsZero() && p.Security.Before(p.Since) {
		return p.Since
	}
	return p.Security
}

// LoadPending reads what waits, by kind. A file that is not there or that was cut short says that
// nothing was seen yet: the next check finds it again.
func LoadPending(path string) (map[schedule.Kind]Pending, error) {
	waits := map[schedule.Kind]Pending{}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return waits, err
	}
	if err == nil && json.Unmarshal(data, &waits) != nil {
		return map[schedule.Kind]Pending{}, nil
	}
	return waits, nil
}

// NotePending says that what waits, or with an empty What that nothing does any more, and returns what
// is known of it then. What waited before keeps its time, as the host is behind since then; a
// security fix that is no longer among it does not.
func NotePending(path string, kind schedule.Kind, now Pending) (Pending, error) {
	waits, err := LoadPending(path)
	if err != nil {
		return now, err
	}
	before, waited := waits[kind]
	if waited && before.Since.Before(now.Since) {
		now.Since = before.Since
	}
	if !now.Security.IsZero() && !before.Security.IsZero() && before.Security.Before(now.Security) {
		now.Security = before.Security
	}
	switch {
	case now.What == "" && !waited, waited && now == before:
		return now, nil
	case now.What == "":
		delete(waits, kind)
	default:
		waits[kind] = now
	}
	data, err := json.MarshalIndent(waits, "", "  ")
	if err != nil {
		return now, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return now, err
	}
	if err := renameio.WriteFile(path, append(data, '\n'), 0o600, renameio.IgnoreUmask()); err != nil {
		return now, fmt.Errorf("note what waits: %w", err)
	}
	return now, nil
}
