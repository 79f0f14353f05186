package release

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"townsquare/upgrade/internal/durable"
)

// top is the one directory every archive of the vendor holds everything in.
const top = "mattermost"

// Limits on what an archive may unpack to; a genuine release of 2026 has some 12,000 entries and
// 1.5 GB.
type limits struct {
	entries   int
	bytes     int64 // of all files together
	ratio     int64 // unpacked bytes for each packed one, once past ratioFrom
	ratioFrom int64 // bytes
	depth     int   // of directories
}

func genuine() limits {
	return limits{entries: 200_000, bytes: 6 << 30, ratio: 100, ratioFrom: 64 << 20, depth: 40}
}

// Extract unpacks a verified archive into dest, which must not exist, without its top directory, and
// saves a Manifest of it beside dest. Meanwhile the files are in dest+".partial"; dest appears
// whole, by one rename, and everything is on the disk by then. What an interrupted Extract left of
// its own, complete or not marked complete, is replaced. progress, which may be nil, hears of packed
// bytes read and in total.
//
// Nothing is written outside dest, whatever the archive says: refused are absolute paths, "..",
// links that point out, devices, pipes, setuid files, a second entry of one name, another top
// directory, and more data than a release can have. The error then is an *ArchiveError; a *SpaceError
// when the disk is too small.
func Extract(ctx context.Context, archivePath, dest string, progress func(done, total int64)) (*Manifest, error) {
	return extract(ctx, archivePath, dest, progress, genuine())
}

func extract(ctx context.Context, archivePath, dest string, progress func(done, total int64), l limits) (_ *Manifest, err error) {
	if err := vacate(dest); err != nil {
		return nil, err
	}
	packed, err := os.Open(archivePath)
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	info, err := packed.Stat()
	if err != nil {
		return nil, err
	}
	if err := roomFor(packed, info.Size(), filepath.Dir(dest)); err != nil {
		return nil, err
	}
	partial := dest + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return nil, err
	}
	if err := os.Mkdir(partial, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		if e := os.RemoveAll(partial); e != nil {
			err = errors.Join(err, e)
		}
	}()
	root, err := os.OpenRoot(partial)
	if err != nil {
		return nil, err
	}
	defer root.Close()

	whole := sha256.New()
	in := &counted{Reader: io.TeeReader(stoppable{packed, ctx}, whole), total: info.Size(), progress: progress}
	x := &extraction{tree: newTree(root), limits: l, packed: in, archive: filepath.Base(archivePath)}
	if err := x.run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	in.tell(true)
	m := x.tree.manifest(x.archive, hex.EncodeToString(whole.Sum(nil)))
	if err := durable.SyncAll(partial); err != nil {
		return nil, fmt.Errorf("sync %s: %w", partial, err)
	}
	if err := m.save(dest); err != nil {
		return nil, err
	}
	if err := os.Rename(partial, dest); err != nil {
		return nil, err
	}
	return m, durable.SyncDir(filepath.Dir(dest))
}

// roomFor compares what gzip says of the unpacked size, in the last four bytes, with the free space:
// a full disk is better found before than after a gigabyte was written.
func roomFor(packed *os.File, size int64, dir string) error {
	var last [4]byte
	if size < 18 { // no gzip file is shorter; reading it will say so
		return nil
	}
	if _, err := packed.ReadAt(last[:], size-4); err != nil {
		return err
	}
	unpacked := uint64(last[0]) | uint64(last[1])<<8 | uint64(last[2])<<16 | uint64(last[3])<<24
	if unpacked > uint64(genuine().bytes) || int64(unpacked) > size*genuine().ratio {
		return nil // not a size a genuine archive has; the limits will say so
	}
	return hasRoom(freeBytes, dir, unpacked+spare)
}

// extraction is one archive being unpacked.
type extraction struct {
	tree    *tree
	limits  limits
	packed  *counted
	archive string
	entries int
	bytes   int64
}

func (x *extraction) fault(entry, fault string, err error) error {
	return &ArchiveError{Archive: x.archive, Entry: entry, Fault: fault, Err: err}
}

func (x *extraction) run() error {
	unzipped, err := gzip.NewReader(x.packed)
	if err != nil {
		return x.fault("", "is no gzip file", err)
	}
	stream := &bounded{r: unzipped, x: x}
	entries := tar.NewReader(stream)
	for {
		h, err := entries.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return x.broken("", err)
		}
		if x.entries++; x.entries > x.limits.entries {
			return x.fault("", fmt.Sprintf("has more than %d entries", x.limits.entries), nil)
		}
		if err := x.entry(h, entries); err != nil {
			return err
		}
	}
	// What follows the last entry is padding; reading it makes gzip check that nothing is missing.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return x.broken("", err)
	}
	if len(x.tree.files) == 0 {
		return x.fault("", "holds no "+top+" directory with files", nil)
	}
	return nil
}

// broken tells a damaged archive from one of our own limits, which is an error already.
func (x *extraction) broken(entry string, err error) error {
	var ours *ArchiveError
	if errors.As(err, &ours) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return x.fault(entry, "is cut off", err)
	}
	return x.fault(entry, "is damaged", err)
}

// entry unpacks one entry.
func (x *extraction) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader { // comments, such as git archive writes
		return nil
	}
	name, fault := x.inside(h.Name)
	if fault != "" {
		return x.fault(h.Name, fault, nil)
	}
	if h.Mode&0o7000 != 0 {
		return x.fault(h.Name, "has a setuid, setgid or sticky bit", nil)
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return x.fault(h.Name, "the top is not a directory", nil)
		}
		return nil
	}
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		err = x.tree.directory(name)
	case tar.TypeReg:
		err = x.tree.file(name, h, content)
	case tar.TypeSymlink:
		err = x.tree.symlink(name, h.Linkname)
	case tar.TypeLink:
		target, fault := x.inside(h.Linkname)
		if fault != "" {
			return x.fault(h.Name, "links to "+fmt.Sprintf("%.100q", h.Linkname)+", which "+fault, nil)
		}
		err = x.tree.hardlink(name, target)
	default:
		return x.fault(h.Name, "is neither a file, a directory nor a link (type "+fmt.Sprintf("%q", h.Typeflag)+")", nil)
	}
	var refusal refused
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return x.fault(h.Name, string(refusal), nil)
	case errors.Is(err, errContent):
		return x.broken(h.Name, err)
	default:
		return fmt.Errorf("extract %s: entry %.200q: %w", x.archive, h.Name, err)
	}
}

// inside gives the path of an entry below the top directory, or what is wrong with its name.
func (x *extraction) inside(name string) (string, string) {
	switch {
	case name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", "has a name that is empty or not text"
	case strings.ContainsRune(name, '\\'):
		return "", "has a backslash in its name"
	case len(name) > 1024 || strings.Count(name, "/") > x.limits.depth:
		return "", "has a name longer or deeper than any release needs"
	case path.IsAbs(name):
		return "", "has an absolute path"
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", "leaves the directory"
		}
	}
	first, rest, _ := strings.Cut(path.Clean(name), "/")
	if first == "." { // the entry "./" that tar writes for its own directory
		return ".", ""
	}
	if first != top {
		return "", "is not below " + top + "/"
	}
	return path.Clean(rest), ""
}

// bounded passes the unpacked stream on as long as it stays within the limits.
type bounded struct {
	r io.Reader
	x *extraction
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	x := b.x
	x.bytes += int64(n)
	switch {
	case x.bytes > x.limits.bytes:
		return n, x.fault("", fmt.Sprintf("unpacks to more than %d MB", x.limits.bytes>>20), nil)
	case x.bytes > x.limits.ratioFrom && x.bytes > x.limits.ratio*max(x.packed.done, 1):
		return n, x.fault("", fmt.Sprintf("unpacks to more than %d times its size", x.limits.ratio), nil)
	}
	return n, err
}

// counted counts the packed bytes and tells progress, at most ten times a second.
type counted struct {
	io.Reader
	done, total int64
	progress    func(done, total int64)
	told        time.Time
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.done += int64(n)
	c.tell(false)
	return n, err
}

func (c *counted) tell(now bool) {
	if c.progress == nil || !now && time.Since(c.told) < progressGap {
		return
	}
	c.told = time.Now()
	c.progress(c.done, c.total)
}
