package mirror

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// file is one entry of an archive: a directory, if its name ends in a slash, or a file with either text or the
// content of the file at from.
type file struct {
	name string // below the top folder
	mode fs.FileMode
	text string
	from string
}

// top is the folder that everything in an official archive is in.
const top = "mattermost/"

// builder is who owns the files in the vendor's archives: a user of its build machines.
const builder = 2000

// writeTarball writes a .tar.gz of files to w: the same bytes for the same files and date, whenever and wherever.
// Directories need not be listed.
func writeTarball(w io.Writer, files []file, date time.Time) error {
	// A test waits for the packing, and nobody pays for the extra tenth of size.
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, f := range withDirectories(files) {
		if err := writeEntry(t, f, date); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func writeEntry(t *tar.Writer, f file, date time.Time) error {
	h := &tar.Header{
		Name: top + f.name, Mode: int64(f.mode), ModTime: date, Uid: builder, Gid: builder,
		Typeflag: tar.TypeReg, Size: int64(len(f.text)), Format: tar.FormatGNU,
	}
	if f.name == "" || strings.HasSuffix(f.name, "/") {
		h.Typeflag = tar.TypeDir
		return t.WriteHeader(h)
	}
	if f.from == "" {
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.WriteString(t, f.text)
		return err
	}
	source, err := os.Open(f.from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, source)
	return err
}

// withDirectories adds every parent, and sorts.
func withDirectories(files []file) []file {
	all := map[string]file{"": {mode: 0o755}}
	for _, f := range files {
		all[f.name] = f
		for dir := path.Dir(strings.TrimSuffix(f.name, "/")); dir != "."; dir = path.Dir(dir) {
			if _, ok := all[dir+"/"]; !ok {
				all[dir+"/"] = file{name: dir + "/", mode: 0o755}
			}
		}
	}
	var out []file
	for _, f := range all {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return out
}

// folder lists the files below dir as entries below name.
func folder(dir, name string) ([]file, error) {
	var out []file
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		out = append(out, file{name: path.Join(name, filepath.ToSlash(rel)), mode: 0o644, from: p})
		return err
	})
	return out, err
}
