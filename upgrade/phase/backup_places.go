package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
)

// places finds what survives the host: data, configuration, plugins, what was added by hand, wherever it
// really is, how much it weighs, and which links in it lead to what no backup holds. Logs are left out.
func places(ctx context.Context, op *Operation, m *backup.Manifest) error {
	f := op.Facts
	add := func(name, path string, custom bool) error {
		real, err := filepath.EvalSymlinks(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !backedUp(f, path, real, custom) {
			op.Warn("%s is not in this backup: it leads to %s, which does not belong to %s", path, real, f.Unit.User)
			return nil
		}
		if !covered(m, real) {
			m.Places = append(m.Places, backup.Place{Name: name, Path: real, Custom: custom})
		}
		return nil
	}
	for _, p := range f.Places {
		if p.Name == "logs" || strings.HasSuffix(p.Name, ".log") {
			continue
		}
		if err := add(p.Name, filepath.Join(f.Dir, p.Name), p.Custom); err != nil {
			return err
		}
	}
	if !f.Config.InDatabase {
		if err := add("config.json", f.Config.Path, false); err != nil {
			return err
		}
	}
	m.Store = f.Config.String("FileSettings.DriverName")
	if m.Store == "" {
		m.Store = "local"
	}
	if store := f.FileStore(); store != "" {
		if err := add("files", store, false); err != nil {
			return err
		}
		var err error
		if m.StorePath, err = filepath.EvalSymlinks(store); err != nil {
			return err
		}
	} else {
		op.Warn("the attachments are in %s and not in this backup: that store needs a backup of its own", m.Store)
	}
	return survey(ctx, op, m)
}

// covered reports whether path is in one of the places of m.
func covered(m *backup.Manifest, path string) bool {
	return slices.ContainsFunc(m.Places, func(p backup.Place) bool { return path == p.Path || strings.HasPrefix(path, p.Path+"/") })
}

// mostLinks is how many links that lead out of a backup are named.
const mostLinks = 100

// survey weighs each place, and finds the links by which files are reached that are in none: restic
// keeps the link, and not the files. Below the file store those are attachments.
func survey(ctx context.Context, op *Operation, m *backup.Manifest) error {
	for i := range m.Places {
		p := &m.Places[i]
		err := filepath.WalkDir(p.Path, func(path string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				return nil // deleted meanwhile; what cannot be read restic names
			case d.IsDir() && strings.HasPrefix(d.Name(), stagingPrefix):
				return fs.SkipDir
			case d.Type()&fs.ModeSymlink != 0:
				if target := outside(m, path); target != "" && len(m.Outside) < mostLinks {
					m.Outside = append(m.Outside, backup.Link{Path: path, Target: target})
				}
			case d.Type().IsRegular():
				if info, err := d.Info(); err == nil {
					p.Files, p.Bytes = p.Files+1, p.Bytes+info.Size()
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, l := range m.Outside {
		if below(l.Path, m.StorePath) {
			op.Warn("%s leads out of the file store, to %s: the backup holds the link only", l.Path, l.Target)
		} else {
			op.Note("%s leads to %s: the backup holds the link only", l.Path, l.Target)
		}
	}
	return nil
}

// outside is what the link at path leads to, where a restored copy of it would lead out of the backup;
// else, and where it leads nowhere, it is empty.
func outside(m *backup.Manifest, path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	if !below(path, m.StorePath) {
		if covered(m, real) {
			return ""
		}
		return real
	}
	store, err := os.OpenRoot(m.StorePath)
	if err != nil {
		return ""
	}
	defer store.Close()
	if _, err := store.Stat(strings.TrimPrefix(path, m.StorePath+"/")); err == nil {
		return ""
	}
	return real
}

// below reports whether path is in dir, and is not dir itself.
func below(path, dir string) bool { return dir != "" && strings.HasPrefix(path, dir+"/") }

// absent finds the attachments of which the backup has no file: the server has lost it, or it is behind
// a link that leads out of the file store. They are named, so that the proof of the backup can tell them
// from those that it lacks. Those that were uploaded after the dump are none of it.
func absent(ctx context.Context, op *Operation, m *backup.Manifest) error {
	if m.StorePath == "" {
		return nil
	}
	store, err := os.OpenRoot(m.StorePath)
	if err != nil {
		return fmt.Errorf("look for the attachments: %w", err)
	}
	defer store.Close()
	err = op.Facts.Database.Attachments(ctx, func(a mattermost.Attachment) error {
		if wrongWith(store, a) == "" {
			return nil
		}
		m.Absent++
		if len(m.Lost) < mostLost {
			m.Lost = append(m.Lost, a.Path)
		}
		if l := behind(m, a.Path); l != nil {
			l.Attachments++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n := m.BehindLinks(); n > 0 {
		op.Warn("%d attachments are not in this backup: they are behind links that lead out of the file store; mount the links' targets in their place, or back those up as well", n)
	}
	switch n := m.Absent - m.BehindLinks(); {
	case n > 0 && int(m.Absent) > givenUp(op):
		op.Warn("%d attachments have no file on the server any more, such as %s: they can be restored only from an earlier backup", n, m.Lost[0])
	case n > 0:
		op.Note("%d attachments have no file on the server any more, as before", n)
	}
	return nil
}

// behind is the link out of the file store that leads to the attachment; nil where none does.
func behind(m *backup.Manifest, attachment string) *backup.Link {
	path := filepath.Join(m.StorePath, attachment)
	for i, l := range m.Outside {
		if below(l.Path, m.StorePath) && (path == l.Path || below(path, l.Path)) {
			return &m.Outside[i]
		}
	}
	return nil
}

// wrongWith is what is wrong with the attachment in the file store; empty when it is there. No link
// leads out of the store: in a restored copy one would lead to the files of the server.
func wrongWith(store *os.Root, a mattermost.Attachment) string {
	if !filepath.IsLocal(a.Path) {
		return "its path leads out of the file store"
	}
	info, err := store.Lstat(a.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing"
	case err != nil:
		return "is not in the file store: " + err.Error()
	case !info.Mode().IsRegular():
		return "is not a file"
	case info.Size() != a.Size:
		return fmt.Sprintf("has %d bytes instead of %d", info.Size(), a.Size)
	}
	return ""
}
