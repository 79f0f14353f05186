package mattermost

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"townsquare/upgrade/release"
)

// shipped are the names that releases from 5.x to 12.x have at the top of their archives, with
// those that a server makes there by itself.
var shipped = []string{"bin", "client", "config", "data", "fonts", "i18n", "logs", "plugins", "prepackaged_plugins", "templates",
	"ENTERPRISE-EDITION-LICENSE.txt", "LICENSE.txt", "MIT-COMPILED-LICENSE.md", "NOTICE.txt", "README.md", "manifest.txt",
	"SECURITY.md", "mattermost.log", "notifications.log", "build"}

// ShippedDirectories names those of an archive's directories in which nothing that was added by hand can be
// told from an older release's files: it is not carried over from a directory that was made by hand.
func ShippedDirectories() string { return "client, fonts, i18n, prepackaged_plugins or templates" }

// shippedPrograms are the same for bin.
var shippedPrograms = []string{"mattermost", "mmctl", "platform"}

// customPlaces finds what someone added to the installation at dir: the server's own guide deletes
// it at every upgrade. With the manifest of the release that is exact; of a directory made by hand
// only the top and bin are looked at, as nobody can tell old files of the vendor from added ones.
func customPlaces(link, dir string, manifest *release.Manifest) ([]Place, error) {
	var places []Place
	add := func(name string, d fs.DirEntry) error {
		p := Place{Name: name, Target: filepath.Join(Root(link), "custom", name), Custom: true, Move: true}
		if d.Type()&fs.ModeSymlink != 0 {
			var err error
			if p.Target, err = linkTarget(dir, filepath.Join(dir, name)); err != nil {
				return err
			}
			p.Move = false
		}
		places = append(places, p)
		return nil
	}
	if manifest == nil {
		for _, level := range []struct {
			name  string
			known []string
		}{{"", shipped}, {"bin", shippedPrograms}} {
			entries, err := os.ReadDir(filepath.Join(dir, level.name))
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if slices.Contains(level.known, e.Name()) {
					continue
				}
				if err := add(filepath.Join(level.name, e.Name()), e); err != nil {
					return nil, err
				}
			}
		}
		return places, nil
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		survives := slices.ContainsFunc(survive, func(s struct{ name, flat string }) bool { return s.name == name })
		generated := !strings.Contains(name, "/") && strings.HasSuffix(name, ".log")
		switch {
		case survives || generated:
		case manifest.Has(filepath.ToSlash(name)):
			return nil
		default:
			if err := add(name, d); err != nil {
				return err
			}
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	return places, err
}
