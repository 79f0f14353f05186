package phase

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// space is what the file system of dir has left for a program that is not root.
func space(dir string) (free, inodes uint64, id any, err error) {
	var fs unix.Statfs_t
	if err = unix.Statfs(dir, &fs); err != nil {
		return 0, 0, nil, err
	}
	inodes = fs.Ffree
	if fs.Files == 0 {
		inodes = 1 << 62 // a file system that makes inodes as it needs them
	}
	return fs.Bavail * uint64(fs.Bsize), inodes, fs.Fsid, nil
}

// mountPoint says whether another file system begins at path: at a directory, as a file of an overlay
// has a number of its own.
func mountPoint(path string) bool {
	var here, above unix.Stat_t
	if err := errors.Join(unix.Lstat(path, &here), unix.Lstat(filepath.Dir(path), &above)); err != nil {
		return false
	}
	return here.Mode&unix.S_IFMT == unix.S_IFDIR && here.Dev != above.Dev
}
