package release

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// tree writes an archive's entries below one directory. os.Root keeps every path inside it even if a
// check of ours were wrong; the checks give a clear message, and refuse what os.Root would allow.
type tree struct {
	root   *os.Root
	files  map[string]File // by path
	buffer []byte
	now    time.Time
}

// refused is why an entry is not unpacked.
type refused string

func (r refused) Error() string { return string(r) }

// errContent marks a fault in reading the archive, as opposed to writing the disk.
var errContent = errors.New("read the archive")

func newTree(root *os.Root) *tree {
	return &tree{root: root, files: map[string]File{}, buffer: make([]byte, copyPortion), now: time.Now()}
}

// claim makes the directories above name, and refuses a name that is taken.
func (t *tree) claim(name string) error {
	if _, taken := t.files[name]; taken {
		return refused("comes twice")
	}
	return t.directory(path.Dir(name))
}

// directory makes a directory and those above it. One that is there already stays as it is.
func (t *tree) directory(name string) error {
	if name == "." {
		return nil
	}
	if f, ok := t.files[name]; ok {
		if f.Mode.IsDir() {
			return nil
		}
		return refused("lies below " + name + ", which is not a directory")
	}
	if err := t.directory(path.Dir(name)); err != nil {
		return err
	}
	if err := t.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	t.files[name] = File{Path: name, Mode: fs.ModeDir | 0o755}
	return t.root.Chmod(name, 0o755) // whatever the umask says
}

// file writes a regular file: 0755 when anyone may execute it, else 0644, with the vendor's time
// unless that lies in the future (browsers are told it).
func (t *tree) file(name string, h *tar.Header, content io.Reader) (err error) {
	if h.Size < 0 {
		return refused("has a negative size")
	}
	if err := t.claim(name); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, sum)}, faulty{content}, t.buffer)
	if err != nil {
		return err
	}
	if n != h.Size {
		return fmt.Errorf("%w: %d of %d bytes", errContent, n, h.Size)
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if at := h.ModTime; at.After(time.Unix(0, 0)) && at.Before(t.now) {
		if err := t.root.Chtimes(name, at, at); err != nil {
			return err
		}
	}
	t.files[name] = File{Path: name, Mode: mode, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}
	return nil
}

// symlink makes a link to a path inside the tree. It need not exist yet.
func (t *tree) symlink(name, target string) error {
	if err := t.claim(name); err != nil {
		return err
	}
	if target == "" || path.IsAbs(target) || strings.ContainsRune(target, '\\') {
		return refused("links to " + fmt.Sprintf("%.100q", target) + ", outside the release")
	}
	if to := path.Join(path.Dir(name), target); to == ".." || strings.HasPrefix(to, "../") {
		return refused("links to " + fmt.Sprintf("%.100q", target) + ", outside the release")
	}
	// Upwards only from where the link itself is, which is a directory: upwards from what may be another
	// link leads to wherever that one points.
	words := strings.Split(target, "/")
	down := slices.IndexFunc(words, func(w string) bool { return w != ".." && w != "." && w != "" })
	if down >= 0 && slices.Contains(words[down:], "..") {
		return refused("links to " + fmt.Sprintf("%.100q", target) + ", down and up again")
	}
	if err := t.root.Symlink(target, name); err != nil {
		return err
	}
	t.files[name] = File{Path: name, Mode: fs.ModeSymlink | 0o777, Link: target}
	return nil
}

// hardlink makes a second name of a file that was unpacked before.
func (t *tree) hardlink(name, target string) error {
	if err := t.claim(name); err != nil {
		return err
	}
	f, ok := t.files[target]
	if !ok || !f.Mode.IsRegular() {
		return refused("links to " + fmt.Sprintf("%.100q", target) + ", which is no file of the archive before it")
	}
	if err := t.root.Link(target, name); err != nil {
		return err
	}
	f.Path = name
	t.files[name] = f
	return nil
}

func (t *tree) manifest(archive, sum string) *Manifest {
	m := &Manifest{Kind: manifestKind, Archive: archive, SHA256: sum}
	for _, f := range t.files {
		m.Files = append(m.Files, f)
		m.Size += f.Size
	}
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return m
}

// faulty marks the errors of a reader as the archive's.
type faulty struct{ r io.Reader }

func (f faulty) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errContent, err)
	}
	return n, err
}
