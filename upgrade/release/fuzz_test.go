package release

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is parsed as a version is written back as it was, and ordered the same both ways.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"9.10.0", "v11.7.10", "0.0.1", "9.10.0-rc1", "1.2", "9999.9999.9999", "01.2.3", "1.2.3 "} {
		f.Add(s, "9.10.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := Parse(a)
		if err != nil {
			return
		}
		if strings.TrimPrefix(a, "v") != v.String() {
			t.Errorf("Parse(%q) is written %q", a, v)
		}
		if w, err := Parse(b); err == nil && v.Compare(w) != -w.Compare(v) {
			t.Errorf("%s and %s compare differently the other way", v, w)
		}
	})
}

// A page either is refused or gives releases that could be fetched and that its words justify.
func FuzzArchive(f *testing.F) {
	f.Add(pageOf(listed("9.10.0", Team, true), listed("9.9.3", Enterprise, false)))
	f.Add([]byte(livePage))
	f.Add([]byte("Mattermost Team Edition v9.10.0\n- `https://x/9.10.0/mattermost-team-9.10.0-linux-amd64.tar.gz`\n- SHA-256 Checksum: `TBD`\n"))
	f.Fuzz(func(t *testing.T, page []byte) {
		releases, err := parseArchive("https://x", 1, page)
		if err != nil {
			if !isError[*ShapeError](err) {
				t.Fatalf("error %v is no ShapeError", err)
			}
			return
		}
		for _, r := range releases {
			if r.Version.IsZero() || !bytes.Contains(page, []byte(r.Version.String())) || !strings.HasPrefix(r.URL, "https://") ||
				!strings.Contains(r.URL, "/"+r.Version.String()+"/") || !strings.HasSuffix(r.URL, ".tar.gz") {
				t.Errorf("read %+v", r)
			}
			if r.Unusable == "" && fetchable(r) != nil {
				t.Errorf("usable, but not to be fetched: %+v", r)
			}
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(smallPolicy))
	f.Add([]byte(oldPolicy))
	f.Fuzz(func(t *testing.T, page []byte) {
		minors, err := parsePolicy("https://x", 1, page)
		if err != nil {
			if !isError[*ShapeError](err) {
				t.Fatalf("error %v is no ShapeError", err)
			}
			return
		}
		for m, s := range minors {
			if s.End.IsZero() || s.End.Before(s.Start) || !bytes.Contains(page, []byte(m.String())) {
				t.Errorf("read %v: %+v", m, s)
			}
		}
	})
}

func FuzzGitHub(f *testing.F) {
	f.Add([]byte(someTags))
	f.Add([]byte(`{"message": "API rate limit exceeded"}`))
	f.Fuzz(func(t *testing.T, page []byte) {
		if tags, err := parseGitHub("https://x", bytes.NewReader(page)); err == nil && len(tags) == 0 {
			t.Error("no releases, and no error")
		}
	})
}

// The name, the kind and the link of an entry may be anything: nothing appears outside the
// directory, and what appears inside is plain.
func FuzzExtract(f *testing.F) {
	f.Add("mattermost/bin/mattermost", byte(tar.TypeReg), "", "mattermost/x", byte(tar.TypeSymlink), "bin", int64(0o755))
	f.Add("mattermost/x", byte(tar.TypeSymlink), "../..", "mattermost/x/y", byte(tar.TypeReg), "", int64(0o644))
	f.Add("mattermost/../../x", byte(tar.TypeReg), "", "/etc/x", byte(tar.TypeDir), "", int64(0o4755))
	f.Add("mattermost/a", byte(tar.TypeReg), "", "mattermost/b", byte(tar.TypeLink), "mattermost/a", int64(0o600))
	f.Add("mattermost/a", byte(tar.TypeFifo), "", "mattermost", byte(tar.TypeSymlink), "/", int64(0o600))
	f.Fuzz(func(t *testing.T, name1 string, kind1 byte, link1, name2 string, kind2 byte, link2 string, mode int64) {
		dir := t.TempDir()
		file, jail := filepath.Join(dir, "a"), filepath.Join(dir, "jail")
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range []*tar.Header{{Name: name1, Typeflag: kind1, Linkname: link1, Mode: mode}, {Name: name2, Typeflag: kind2, Linkname: link2, Mode: mode}} {
			if kind1 == tar.TypeReg {
				h.Size = 1
			}
			if w.WriteHeader(h) != nil {
				return // no archive can hold such an entry
			}
			if h.Size == 1 {
				_, _ = w.Write([]byte("x")) // refused for a kind that has no content
			}
		}
		w.Close()
		if err := os.WriteFile(file, zipped(b.Bytes()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(jail, 0o755); err != nil {
			t.Fatal(err)
		}
		dest := filepath.Join(jail, "v")
		m, err := Extract(t.Context(), file, dest, nil)
		entries, _ := os.ReadDir(jail)
		if err != nil {
			if len(entries) > 0 {
				t.Errorf("refused (%v), but left %v", err, entries)
			}
			return
		}
		if outside, _ := os.ReadDir(dir); len(outside) != 2 || len(entries) != 2 {
			t.Errorf("made %v outside, %v inside", outside, entries)
		}
		found := 0
		err = filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
			if path == dest || err != nil {
				return err
			}
			found++
			name, _ := filepath.Rel(dest, path)
			info, err := d.Info()
			if err != nil || !m.Has(name) || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky|fs.ModeDevice|fs.ModeNamedPipe) != 0 {
				t.Errorf("%s: %v %v, in the manifest %v", name, info, err, m.Has(name))
			}
			if d.Type() == fs.ModeSymlink {
				target, _ := os.Readlink(path)
				if to := filepath.Join(filepath.Dir(path), target); filepath.IsAbs(target) || to != dest && !strings.HasPrefix(to, dest+"/") {
					t.Errorf("%s points to %s", name, target)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if found != len(m.Files) {
			t.Errorf("%d things on the disk, %d in the manifest", found, len(m.Files))
		}
	})
}

// Bytes that are no archive at all do not upset the reader either.
func FuzzArchiveBytes(f *testing.F) {
	f.Add(tarGz(f, aRelease()...))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "a")
		if err := os.WriteFile(file, archive, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Extract(t.Context(), file, filepath.Join(dir, "v"), nil); err != nil {
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("refused (%v), but left %v", err, entries)
			}
		}
	})
}
