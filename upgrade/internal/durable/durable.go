// Package durable makes what was written survive a power cut.
package durable

import (
	"fmt"
	"os"
	"syscall"
)

// SyncDir makes the names in dir durable: without it a file that was renamed into place, and synced
// itself, may be gone after a power cut.
func SyncDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0) // it does not wait for a pipe
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
