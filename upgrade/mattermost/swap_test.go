package mattermost

import (
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree lists what is below dir: names, links with their targets, files with their content.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			name += " -> " + strings.TrimPrefix(target, dir+"/")
		case d.IsDir():
			name += "/"
		default:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name += " = " + string(data)
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(all)
	return all
}

// plant makes files (their content is their name), directories (with a slash) and links (a -> b).
func plant(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		name, target, link := strings.Cut(name, " -> ")
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(name), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPoint(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "mattermost")
	plant(t, dir, "a/", "b/")
	for _, target := range []string{"a", "b", "b", "a"} {
		if err := Point(link, filepath.Join(dir, target)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a/", "b/", "mattermost -> " + target}, tree(t, dir)); diff != "" {
			t.Error(diff)
		}
	}
	for range 2 {
		if err := Unpoint(link); err != nil {
			t.Fatal(err)
		}
	}
	plant(t, dir, "mattermost/")
	if Point(link, "a") == nil || Unpoint(link) == nil {
		t.Error("a real directory is replaced")
	}
}

// The power may go between any two steps of a move, an adoption, and their way back: whatever is
// found then, going on and going back must both end well.
func TestAdoptThroughPowerCuts(t *testing.T) {
	before := []string{"mattermost/", "mattermost/bin/", "mattermost/bin/mattermost = mattermost/bin/mattermost", "versions/", "versions/new/"}
	after := []string{"mattermost -> versions/new", "versions/", "versions/new/", "versions/old/", "versions/old/bin/", "versions/old/bin/mattermost = mattermost/bin/mattermost"}
	for name, cut := range map[string]func(t *testing.T, dir string){
		"before anything": func(*testing.T, string) {},
		"the next link is made": func(t *testing.T, dir string) {
			plant(t, dir, ".mattermost.townsquare -> "+dir+"/versions/new")
		},
		"exchanged": func(t *testing.T, dir string) {
			rename(t, dir, "mattermost", ".mattermost.townsquare")
			plant(t, dir, "mattermost -> "+dir+"/versions/new")
		},
		"moved away without an exchange": func(t *testing.T, dir string) {
			rename(t, dir, "mattermost", "versions/old")
			plant(t, dir, ".mattermost.townsquare -> "+dir+"/versions/new")
		},
		"all done": func(t *testing.T, dir string) {
			rename(t, dir, "mattermost", "versions/old")
			plant(t, dir, "mattermost -> "+dir+"/versions/new")
		},
		"on the way back, exchanged": func(t *testing.T, dir string) {
			plant(t, dir, "versions/old -> "+dir+"/versions/new")
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, forward := range []bool{true, false} {
				if forward && strings.HasPrefix(name, "on the way back") {
					continue // a run that has begun to go back never goes forward again
				}
				dir := t.TempDir()
				plant(t, dir, "mattermost/bin/mattermost", "versions/new/")
				link, kept := filepath.Join(dir, "mattermost"), filepath.Join(dir, "versions", "old")
				cut(t, dir)
				want := before
				for range 2 {
					if forward {
						want = after
						if err := Adopt(link, kept, filepath.Join(dir, "versions", "new")); err != nil {
							t.Fatal(err)
						}
					} else if err := Unadopt(link, kept); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
					t.Errorf("forward %v: %s", forward, diff)
				}
			}
		})
	}
}

func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

func TestMoveThroughPowerCuts(t *testing.T) {
	for name, cut := range map[string]func(t *testing.T, dir string){
		"before anything":      func(*testing.T, string) {},
		"an empty place waits": func(t *testing.T, dir string) { plant(t, dir, "state/data/") },
		"moved and not linked": func(t *testing.T, dir string) { plant(t, dir, "state/"); rename(t, dir, "old/data", "state/data") },
		"moved and linked": func(t *testing.T, dir string) {
			plant(t, dir, "state/")
			rename(t, dir, "old/data", "state/data")
			plant(t, dir, "old/data -> "+dir+"/state/data")
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, forward := range []bool{true, false} {
				dir := t.TempDir()
				plant(t, dir, "old/data/file")
				cut(t, dir)
				from, to := filepath.Join(dir, "old", "data"), filepath.Join(dir, "state", "data")
				for range 2 {
					var err error
					if forward {
						err = Move(from, to)
					} else {
						err = MoveBack(from, to)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if data, err := os.ReadFile(filepath.Join(from, "file")); err != nil || string(data) != "old/data/file" {
					t.Errorf("forward %v: the old place reads %q, %v", forward, data, err)
				}
				if _, err := os.ReadFile(filepath.Join(to, "file")); (err == nil) != forward {
					t.Errorf("forward %v: the new place: %v", forward, err)
				}
			}
		})
	}
	dir := t.TempDir()
	plant(t, dir, "old/data/file", "state/data/someone's")
	if err := Move(filepath.Join(dir, "old/data"), filepath.Join(dir, "state/data")); err == nil {
		t.Error("someone's files are replaced")
	}
}

// A server that was started between two steps of a move has made itself a new, empty home: nobody
// may take that for the old one.
func TestMoveBackAsksWhichOne(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "old/data/fresh", "state/data/precious")
	if err := MoveBack(filepath.Join(dir, "old/data"), filepath.Join(dir, "state/data")); err == nil {
		t.Error("the files in state/data are forgotten")
	}
}
