package untrusted

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// WithoutLinks calls do, for which, and for the programs that it starts, no link leads away from paths: from
// the first directory on that another user can change, links are read and not followed. So a program of
// root's reads what really is at paths, whatever another process exchanges meanwhile. As with As, do must
// not start goroutines that open files. Anyone but root calls do as it is.
func WithoutLinks(paths []string, do func() error) error {
	if os.Geteuid() != 0 {
		return do()
	}
	var dirs []string
	for _, path := range paths {
		dir, err := changeable(path)
		if err != nil {
			return err
		}
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return do()
	}
	return withoutLinks(dirs, do)
}

// changeable returns the first directory on the way to path, which has no links, that another user can
// change; empty where none can.
func changeable(path string) (string, error) {
	at := "/"
	for name := range strings.SplitSeq(strings.Trim(filepath.Clean(path), "/"), "/") {
		at = filepath.Join(at, name)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink != 0:
			return "", fmt.Errorf("%s is a link", at)
		case !info.IsDir():
			return "", nil
		case !ours(info) || info.Mode().Perm()&0o022 != 0:
			return at, nil
		}
	}
	return "", nil
}
