package untrusted

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Rename is os.Rename between two directories as OpenDir opens them.
func Rename(from, to string) error {
	fromDir, err := OpenDir(filepath.Dir(from))
	if err != nil {
		return err
	}
	defer fromDir.Close()
	toDir, err := OpenDir(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer toDir.Close()
	return Move(fromDir, filepath.Base(from), toDir, filepath.Base(to))
}

// Move renames a name in one open directory to one in another.
func Move(fromDir *os.Root, from string, toDir *os.Root, to string) error {
	return between(fromDir, toDir, func(a, b int) error {
		if err := unix.Renameat(a, from, b, to); err != nil {
			return &os.LinkError{Op: "rename", Old: filepath.Join(fromDir.Name(), from), New: filepath.Join(toDir.Name(), to), Err: err}
		}
		return nil
	})
}

// Link gives a file, or a link, in one open directory the same name in another.
func Link(fromDir *os.Root, name string, toDir *os.Root) error {
	return between(fromDir, toDir, func(a, b int) error {
		if err := unix.Linkat(a, name, b, name, 0); err != nil {
			return &os.LinkError{Op: "link", Old: filepath.Join(fromDir.Name(), name), New: filepath.Join(toDir.Name(), name), Err: err}
		}
		return nil
	})
}

// between calls do with the numbers of two open directories.
func between(from, to *os.Root, do func(from, to int) error) error {
	a, err := from.Open(".")
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := to.Open(".")
	if err != nil {
		return err
	}
	defer b.Close()
	return do(int(a.Fd()), int(b.Fd()))
}
