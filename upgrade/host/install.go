package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Install puts the program from at to, unless the same is there.
func Install(from, to string) (err error) {
	if ours, _, err := sumOf(from); err != nil {
		return err
	} else if theirs, _, err := sumOf(to); err == nil && ours == theirs {
		return nil
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
