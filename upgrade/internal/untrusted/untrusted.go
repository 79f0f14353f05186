// Package untrusted is how root works on paths below a directory that another user can change: as that
// user (As), or by open directories that are reached without that user's links (OpenDir).
package untrusted

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// As calls do with the rights of the user and none of root's: whatever the user puts in the way of a
// path, do can only do what the user can. do must not start goroutines that open files: the rights are
// those of one thread. Anyone but root, and root for root, calls do as it is.
func As(name string, do func() error) error {
	if os.Geteuid() != 0 || name == "" {
		return do()
	}
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return err
	}
	var numbers []uint32
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return fmt.Errorf("user %s: %w", name, err)
		}
		numbers = append(numbers, uint32(n))
	}
	if numbers[0] == 0 {
		return do()
	}
	return as(numbers[0], numbers[1], numbers[2:], do)
}

// Open opens a regular file for reading. It does not wait for a pipe.
func Open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// ReadFile reads a regular file, as Open opens it, of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return read(file, limit)
}

func read(file *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", file.Name(), limit)
	}
	return data, err
}

// ErrLink is returned for a link that another user can change.
var ErrLink = errors.New("a link that another user can change")

// maxLinks is how many links a path may lead through, as the kernel has it (path_resolution(7)).
const maxLinks = 40

// OpenDir opens a directory. A link on the way is followed only where no other user can change it: it
// and the directory that it is in are root's, or ours. The error is ErrLink for any other.
func OpenDir(path string) (*os.Root, error) { return open(path, 0) }

// MakeDir is OpenDir, and makes the directories that are missing, with the mode.
func MakeDir(path string, mode fs.FileMode) (*os.Root, error) { return open(path, mode) }

func open(path string, mode fs.FileMode) (*os.Root, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for range maxLinks {
		dir, next, err := walk(path, mode)
		if err != nil || next == "" {
			return dir, err
		}
		path = next
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
}

// walk goes to path from directory to directory, up to the first link; next is what path is without it.
func walk(path string, mode fs.FileMode) (dir *os.Root, next string, err error) {
	if dir, err = os.OpenRoot("/"); err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil || next != "" {
			dir.Close()
		}
	}()
	at, rest := "/", strings.Trim(path, "/")
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		whole := filepath.Join(at, name)
		info, err := dir.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) && mode != 0 {
			if err := dir.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
				return dir, "", &fs.PathError{Op: "mkdir", Path: whole, Err: err}
			}
			info, err = dir.Lstat(name)
		}
		if err != nil {
			return dir, "", &fs.PathError{Op: "open", Path: whole, Err: errors.Unwrap(err)}
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := follow(dir, name, info)
			if err != nil {
				return dir, "", &fs.PathError{Op: "open", Path: whole, Err: err}
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(at, target)
			}
			return dir, filepath.Join(target, rest), nil
		}
		sub, err := Sub(dir, name, info)
		if err != nil {
			return dir, "", &fs.PathError{Op: "open", Path: whole, Err: err}
		}
		dir.Close()
		dir, at = sub, whole
	}
	return dir, "", nil
}

// follow returns the target of the link, if no other user can change it.
func follow(dir *os.Root, name string, link fs.FileInfo) (string, error) {
	in, err := dir.Stat(".")
	if err != nil {
		return "", err
	}
	if !ours(link) || !ours(in) || in.Mode().Perm()&0o022 != 0 && in.Mode()&fs.ModeSticky == 0 {
		return "", ErrLink
	}
	return dir.Readlink(name)
}

func ours(info fs.FileInfo) bool {
	uid := int(info.Sys().(*syscall.Stat_t).Uid)
	return uid == 0 || uid == os.Geteuid()
}

// Sub opens the directory in dir that Lstat told as info, and nothing that took its place since.
func Sub(dir *os.Root, name string, info fs.FileInfo) (*os.Root, error) {
	if !info.IsDir() {
		return nil, syscall.ENOTDIR
	}
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	now, err := sub.Stat(".")
	if err == nil && !os.SameFile(info, now) {
		err = errors.New("another directory took its place")
	}
	if err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

// OpenFile opens the regular file at path with no other name. Neither the file nor a directory on the
// way is reached by a link of another user's; a link in the place of the file is an error. With
// os.O_CREATE in flag, and only then, it is made.
func OpenFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	dir, err := OpenDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := filepath.Base(path)
	before, err := dir.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0:
		return dir.OpenFile(name, flag|os.O_EXCL, mode)
	case err != nil:
		return nil, err
	case !before.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := dir.OpenFile(name, flag&^os.O_CREATE|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (!os.SameFile(before, info) || info.Sys().(*syscall.Stat_t).Nlink != 1) {
		err = fmt.Errorf("%s is another file, or has another name as well", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// ReadNoLink reads a file as OpenFile opens it, of at most limit bytes.
func ReadNoLink(path string, limit int64) ([]byte, error) {
	file, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return read(file, limit)
}

// Sync makes the names in dir durable.
func Sync(dir *os.Root) error {
	file, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// Fixed reports whether no other user can change where the directory at path is.
func Fixed(path string) bool {
	dir, err := OpenDir(path)
	if err != nil {
		return false
	}
	dir.Close()
	return true
}

// Writable reports whether the user may write to what is at path.
func Writable(name, path string) bool {
	return As(name, func() error { return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) }) == nil
}
