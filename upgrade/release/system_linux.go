package release

import (
	"os"

	"golang.org/x/sys/unix"
)

// freeBytes is what an unprivileged writer may still store in the file system of dir.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// syncAll makes everything written to the file system of dir durable, in one go: thousands of small
// files synced one by one take minutes on a slow disk.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
