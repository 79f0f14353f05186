package mattermost

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Guard sees to it that the service's user cannot exchange what root makes in dir: every directory on
// the way that is that user's becomes root's and sticky. The user may still make things there, by its
// group. dir has no links in it; one that was put there meanwhile is an error.
func Guard(dir, user string) error {
	uid, gid, err := ids(user)
	if err != nil || uid == 0 {
		return err
	}
	for _, at := range wayTo(dir) {
		if err := guard(at, uid, gid); err != nil {
			return fmt.Errorf("guard %s: %w", at, err)
		}
	}
	return nil
}

// guard does it by the open directory, which nobody can exchange.
func guard(dir string, uid, gid int) error {
	file, err := os.OpenFile(dir, syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
		return err
	}
	if err := file.Chown(0, gid); err != nil {
		return err
	}
	return file.Chmod(info.Mode().Perm() | 0o070 | os.ModeSticky)
}

// wayTo are dir and all that it is in, the outermost first.
func wayTo(dir string) []string {
	way := []string{dir}
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		way = append(way, dir)
	}
	slices.Reverse(way)
	return way
}

// Owns says whether what is at path belongs to the user.
func Owns(user, path string) bool {
	uid, _, err := ids(user)
	if err != nil {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == uid
}
