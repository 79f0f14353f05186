package mattermost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/internal/durable"
	"townsquare/upgrade/internal/untrusted"
)

// Exchange puts what waits at staged to path, and keeps what was there as kept; all three are on one
// file system. What was done of it already is not done again.
func Exchange(path, staged, kept string) error {
	if !there(staged) {
		if there(path) {
			return nil // done before
		}
		return fmt.Errorf("put %s in place: %s is not there", path, staged)
	}
	if there(path) {
		if there(kept) {
			return fmt.Errorf("put %s in place: refusing to replace %s", path, kept)
		}
		if err := renameInto(path, kept); err != nil {
			return fmt.Errorf("put %s in place: %w", path, err)
		}
		if err := durable.SyncDir(filepath.Dir(kept)); err != nil {
			return err
		}
	}
	if err := untrusted.Rename(staged, path); err != nil {
		return fmt.Errorf("put %s in place: %w", path, err)
	}
	return durable.SyncDir(filepath.Dir(path))
}

// ExchangeBack undoes Exchange, wherever that stopped; fresh says that nothing to keep was at path.
// It does nothing when Exchange never began.
func ExchangeBack(path, staged, kept string, fresh bool) error {
	if (there(kept) || fresh) && !there(staged) && there(path) {
		if err := renameInto(path, staged); err != nil {
			return fmt.Errorf("put %s back: %w", path, err)
		}
	}
	if !there(kept) {
		return nil
	}
	if err := untrusted.Rename(kept, path); err != nil {
		return fmt.Errorf("put %s back: %w", path, err)
	}
	return durable.SyncDir(filepath.Dir(path))
}

// renameInto renames path to a name in a directory that is made, for root only, where it is missing.
func renameInto(path, to string) error {
	dir, err := untrusted.MakeDir(filepath.Dir(to), 0o700)
	if err != nil {
		return err
	}
	dir.Close()
	return untrusted.Rename(path, to)
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// CopyDatabaseSettings gives the config.json at to, where only root can go, the way to the database that
// the service's user's at from has, and keeps its owner and mode.
func CopyDatabaseSettings(user, from, to string) error {
	read := func(path string, data []byte, err error) (map[string]any, error) {
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		var all map[string]any
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if err := dec.Decode(&all); err != nil {
			return nil, fmt.Errorf("read the configuration %s: %w", path, err)
		}
		return all, nil
	}
	data, err := ReadConfig(user, from)
	mine, err := read(from, data, err)
	if err != nil {
		return err
	}
	data, err = untrusted.ReadNoLink(to, maxConfig)
	theirs, err := read(to, data, err)
	if err != nil {
		return err
	}
	here, _ := mine["SqlSettings"].(map[string]any)
	into, _ := theirs["SqlSettings"].(map[string]any)
	same := true
	for _, key := range []string{"DriverName", "DataSource", "DataSourceReplicas", "DataSourceSearchReplicas"} {
		if value, ok := here[key]; ok && into != nil && fmt.Sprint(into[key]) != fmt.Sprint(value) {
			into[key], same = value, false
		}
	}
	if same {
		return nil
	}
	data, err = json.MarshalIndent(theirs, "", "    ")
	if err != nil {
		return err
	}
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	file, err := renameio.NewPendingFile(to, renameio.WithPermissions(info.Mode().Perm()), renameio.IgnoreUmask())
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // nothing is left of it once it was renamed
	if _, err := file.Write(data); err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := file.Chown(int(owner.Uid), int(owner.Gid)); err != nil && os.Geteuid() == 0 {
		return err
	}
	return file.CloseAtomicallyReplace()
}
