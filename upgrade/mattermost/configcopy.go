package mattermost

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/internal/durable"
	"townsquare/upgrade/internal/untrusted"
)

// maxConfig is the largest config.json that is read, in bytes; one of 11.x has some 40 KB.
const maxConfig = 16 << 20

// ReadConfig reads the config.json at path with the rights of the service's user, who can put a link to
// anything there. A file that only root may read is read where no link leads to it.
func ReadConfig(user, path string) (data []byte, err error) {
	err = untrusted.As(user, func() (err error) {
		data, err = untrusted.ReadFile(path, maxConfig)
		return err
	})
	if errors.Is(err, fs.ErrPermission) {
		if own, e := untrusted.ReadNoLink(path, maxConfig); e == nil {
			return own, nil
		}
	}
	return data, err
}

// CopyConfig keeps the configuration at path as copyPath, readable by root only.
func CopyConfig(user, path, copyPath string) error {
	data, err := ReadConfig(user, path)
	if err != nil {
		return fmt.Errorf("copy the configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(copyPath), 0o700); err != nil {
		return fmt.Errorf("copy the configuration: %w", err)
	}
	if err := renameio.WriteFile(copyPath, data, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("copy the configuration: %w", err)
	}
	return durable.SyncDir(filepath.Dir(copyPath))
}

// PutBackConfig writes the copy to path, where it differs, with the rights of the service's user: links
// at path, owner and mode stay as they are. A file that is gone is made anew. It is idempotent.
func PutBackConfig(user, copyPath, path string) error {
	data, err := os.ReadFile(copyPath)
	if err != nil {
		return fmt.Errorf("restore the configuration: %w", err)
	}
	err = untrusted.As(user, func() error {
		if now, err := untrusted.ReadFile(path, maxConfig); err == nil && bytes.Equal(now, data) {
			return nil
		}
		if replaceConfig(path, data) == nil {
			return nil
		}
		// Another user's file, or a disk without space: the blocks that the file has are used again.
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		return overwrite(file, data)
	})
	if errors.Is(err, fs.ErrPermission) {
		err = overwriteAsRoot(user, path, data)
	}
	if err != nil {
		return fmt.Errorf("restore the configuration: %w", err)
	}
	return nil
}

// replaceConfig makes the user's own file anew beside itself, so that the server finds the one or the
// other. Any other file is for overwrite, which keeps owner and names.
func replaceConfig(path string, data []byte) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(real)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if int(owner.Uid) != os.Geteuid() || owner.Nlink != 1 || !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", real, fs.ErrPermission)
	}
	file, err := renameio.NewPendingFile(real, renameio.WithTempDir(filepath.Dir(real)),
		renameio.WithPermissions(info.Mode().Perm()), renameio.IgnoreUmask())
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // nothing is left of it once it was renamed
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Chown(-1, int(owner.Gid)); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(real))
}

// overwriteAsRoot writes to a file that the user may not, or makes the user one where the user may not.
func overwriteAsRoot(user, path string, data []byte) error {
	file, err := untrusted.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if file, err = untrusted.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600); err == nil && os.Geteuid() == 0 {
			var uid, gid int
			if uid, gid, err = ids(user); err == nil {
				err = file.Chown(uid, gid)
			}
		}
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return overwrite(file, data)
}

// overwrite writes data in the place of what the file holds.
func overwrite(file *os.File, data []byte) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", file.Name())
	}
	if _, err := file.WriteAt(data, 0); err != nil {
		return err
	}
	if err := file.Truncate(int64(len(data))); err != nil {
		return err
	}
	return file.Sync()
}
