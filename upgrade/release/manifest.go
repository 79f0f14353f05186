package release

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/internal/durable"
)

// The manifest and the marker lie beside the directory of a release, not in it: the service may own
// that, and what it could write must not tell us what belongs there.
const (
	manifestEnd  = ".manifest.json"
	completeEnd  = ".complete"
	manifestKind = "townsquare.release"
	manifestMax  = 64 << 20 // bytes
)

// Manifest is what a release ships. Files in its directory that it does not list are someone else's.
type Manifest struct {
	Kind    string `json:"kind"`
	Archive string `json:"archive"` // file name of the archive
	SHA256  string `json:"sha256"`  // of the archive
	Size    int64  `json:"size"`    // bytes of all files, unpacked
	Files   []File `json:"files"`   // by path
}

// File is one thing in a release.
type File struct {
	Path   string      `json:"path"` // slash-separated, relative to the release's directory
	Mode   fs.FileMode `json:"mode"` // permission bits, with ModeDir or ModeSymlink
	Size   int64       `json:"size,omitempty"`
	SHA256 string      `json:"sha256,omitempty"` // of regular files
	Link   string      `json:"link,omitempty"`   // of symbolic links
}

// Has says whether the release ships this path, as a file, a link or a directory.
func (m *Manifest) Has(path string) bool {
	_, found := m.Find(path)
	return found
}

// Find gives what the release ships at a path.
func (m *Manifest) Find(path string) (File, bool) {
	i, found := slices.BinarySearchFunc(m.Files, path, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !found {
		return File{}, false
	}
	return m.Files[i], true
}

func (m *Manifest) save(dest string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return renameio.WriteFile(dest+manifestEnd, text, 0o600)
}

// LoadManifest reads the manifest that Extract saved for dest.
func LoadManifest(dest string) (*Manifest, error) {
	m, _, err := loadManifest(dest)
	return m, err
}

// loadManifest also gives the hash of the manifest's text, which the marker of completeness names.
func loadManifest(dest string) (*Manifest, string, error) {
	text, err := read(dest+manifestEnd, manifestMax)
	if err != nil {
		return nil, "", err
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, "", fmt.Errorf("manifest %s: %w", dest+manifestEnd, err)
	}
	if m.Kind != manifestKind {
		return nil, "", fmt.Errorf("manifest %s: kind %q, expected %q", dest+manifestEnd, m.Kind, manifestKind)
	}
	sum := sha256.Sum256(text)
	return &m, hex.EncodeToString(sum[:]), nil
}

// Marker says that a release was unpacked whole and its binary ran.
type Marker struct {
	Version  Version   `json:"version"`
	Edition  Edition   `json:"edition"`
	Arch     string    `json:"arch"`
	Manifest string    `json:"manifest"` // SHA-256 of the manifest's text
	Time     time.Time `json:"time"`

	URL          string `json:"url,omitempty"` // where it came from, so that another host can have the same
	SignatureURL string `json:"signature_url,omitempty"`
	SHA256       string `json:"sha256,omitempty"` // of the archive, as the vendor publishes it
}

// MarkComplete declares dest whole. The caller does so last, after the new binary told its version.
func MarkComplete(dest string, r Release) error {
	if info, err := os.Lstat(dest); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dest)
	}
	_, sum, err := loadManifest(dest)
	if err != nil {
		return err
	}
	text, err := json.Marshal(Marker{Version: r.Version, Edition: r.Edition, Arch: r.Arch, Manifest: sum, Time: time.Now().UTC(),
		URL: r.URL, SignatureURL: r.SignatureURL, SHA256: r.SHA256})
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(dest+completeEnd, text, 0o600); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dest))
}

// Complete gives the marker of dest; the error is fs.ErrNotExist when it was never marked, and says
// what is wrong when marker, manifest and directory do not belong together.
func Complete(dest string) (*Marker, error) {
	text, err := read(dest+completeEnd, 64<<10)
	if err != nil {
		return nil, err
	}
	var m Marker
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("marker %s: %w", dest+completeEnd, err)
	}
	_, sum, err := loadManifest(dest)
	if err != nil {
		return nil, err
	}
	if sum != m.Manifest {
		return nil, fmt.Errorf("marker %s belongs to another manifest", dest+completeEnd)
	}
	info, err := os.Lstat(dest)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", dest)
	}
	return &m, nil
}

// IsComplete says whether dest holds a release that was unpacked whole and whose binary ran.
func IsComplete(dest string) bool {
	_, err := Complete(dest)
	return err == nil
}

// vacate makes sure that dest is free: what an Extract of ours left incomplete is removed, anything
// else is refused. Whoever calls Extract has looked at IsComplete before.
func vacate(dest string) error {
	if !filepath.IsAbs(dest) || filepath.Clean(dest) != dest || filepath.Dir(dest) == dest {
		return fmt.Errorf("extract into %q: expected a clean absolute path", dest)
	}
	if IsComplete(dest) {
		return fmt.Errorf("refusing to replace %s, a complete release: %w", dest, fs.ErrExist)
	}
	return Remove(dest)
}

// Remove removes a release's directory with its manifest and marker; the marker goes first, so that
// what a crash leaves is never taken for whole. It may be called twice. A directory without our
// manifest is not ours, and refused.
func Remove(dest string) error {
	if err := remove(dest + completeEnd); err != nil {
		return err
	}
	if _, err := os.Lstat(dest); err == nil {
		if _, err := LoadManifest(dest); err != nil {
			return fmt.Errorf("refusing to remove %s: it was not made here: %w", dest, err)
		}
		if err := os.RemoveAll(dest); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(dest + ".partial"); err != nil {
		return err
	}
	return remove(dest + manifestEnd)
}
