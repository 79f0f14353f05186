// Package durable makes what was written survive a power cut.
package durable

import (
	"fmt"
	"os"
)

// SyncDir makes the names in dir durable: without it a file that was renamed into place, and synced
// itself, may be gone after a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
