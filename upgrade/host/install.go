package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Install puts the program from at to, unless the same is there. may is asked before another one is
// replaced.
func Install(from, to string, may func() error) (err error) {
	ours, _, err := sumOf(from)
	if err != nil {
		return err
	}
	if theirs, _, err := sumOf(to); err == nil {
		if ours == theirs {
			return nil
		}
		if err := may(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o755), renameio.IgnoreUmask())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Cleanup()) }() // nothing once it took its place
	if _, err := io.Copy(file, source); err != nil {
		return fmt.Errorf("install %s: %w", to, err)
	}
	return file.CloseAtomicallyReplace()
}
