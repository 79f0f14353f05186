package phase

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
)

// another is a directory with a file that is not the service's.
func another(t *testing.T, root string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return "/usr"
	}
	dir := filepath.Join(root, "letsencrypt")
	touch(t, dir, "live")
	must(t, os.Chown(dir, 1, 1))
	return dir
}

// What was added can be a link to anything, of whoever may write to the install directory: what it leads
// to is never exchanged, nor what the file store's name in the configuration or a link below client/
// leads to, unless it is the service's.
func TestRestoreReplacesWhatIsTheServices(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	me, err := user.Current()
	must(t, err)
	theirs, mine, later := another(t, root), filepath.Join(root, "mine"), filepath.Join(another(t, root), "later")
	touch(t, mine, "file")
	dir := filepath.Join(root, "townsquare", "versions", "10.11.4")
	touch(t, dir, "client/images/own.png")
	link := filepath.Join(root, "mattermost")
	must(t, errors.Join(os.Symlink(dir, link), os.Symlink(theirs, filepath.Join(dir, "tls")), os.Symlink(mine, filepath.Join(dir, "brand")),
		os.Symlink(later, filepath.Join(dir, "soon")), os.Symlink("../../mine", filepath.Join(dir, "client", "out"))))
	op := &Operation{
		Choice: release.Choice{Next: &release.Release{Edition: release.Team}},
		Facts: &mattermost.Installation{Link: link, Dir: dir, Unit: &mattermost.Unit{User: me.Username}, Places: []mattermost.Place{
			{Name: "tls", Target: theirs, Custom: true}, {Name: "brand", Target: mine, Custom: true}, {Name: "soon", Target: later, Custom: true},
			{Name: "motd", Target: filepath.Join(root, "townsquare/custom/motd"), Custom: true},
		}},
	}
	for _, c := range []struct {
		place       backup.Place
		path, found string
		hint        string
	}{
		{backup.Place{Name: "tls", Path: "/x", Custom: true}, theirs, "a link to " + theirs, "sudo rm " + filepath.Join(link, "tls")},
		{backup.Place{Name: "soon", Path: "/x", Custom: true}, later, "a link to " + later, "sudo rm " + filepath.Join(link, "soon")},
		{backup.Place{Name: "files", Path: theirs}, theirs, "not " + me.Username + "'s", "sudo ls -ld " + theirs},
		{backup.Place{Name: "files", Path: later}, later, "missing", "sudo install -d -o " + me.Username + " -m 0750 " + later},
		{backup.Place{Name: "brand", Path: "/x", Custom: true}, mine, "", ""},
		{backup.Place{Name: "motd", Path: "/x", Custom: true}, filepath.Join(root, "townsquare/custom/motd"), "", ""},
		{backup.Place{Name: "new", Path: "/x", Custom: true}, filepath.Join(root, "townsquare/custom/new"), "", ""},
		{backup.Place{Name: "files", Path: mine}, mine, "", ""},
	} {
		op.restore = &backup.Snapshot{Manifest: backup.Manifest{Places: []backup.Place{c.place}}}
		list, refused := exchanges(op, "run")
		if list[0].Path != c.path {
			t.Errorf("%s goes to %s, want %s", c.place.Name, list[0].Path, c.path)
		}
		switch {
		case c.found == "" && len(refused) > 0, c.found != "" && len(refused) != 1:
			t.Errorf("%s at %s: %v", c.place.Name, c.path, refused)
		case c.found != "" && (!strings.Contains(refused[0].Found, c.found) || refused[0].Hint != c.hint):
			t.Errorf("%s at %s: %+v", c.place.Name, c.path, refused[0])
		}
	}
}

// In the directory of the version that serves, an administrator's own file is replaced where it is, and
// what the release ships never by a link.
func TestRestoreIntoTheVersionThatServes(t *testing.T) {
	if os.Geteuid() != 0 {
		return // else all of it is ours
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	dir, link := filepath.Join(root, "townsquare/versions/10.11.4"), filepath.Join(root, "mattermost")
	touch(t, dir, "motd.txt", "bin/mattermost", "client/root.html")
	must(t, errors.Join(os.Symlink(dir, link), os.Symlink(filepath.Join(dir, "bin"), filepath.Join(dir, "client/x"))))
	f := &mattermost.Installation{Link: link, Dir: dir, Unit: &mattermost.Unit{User: "nobody"}}
	if why := foreign(f, backup.Place{Name: "motd.txt", Custom: true}, filepath.Join(dir, "motd.txt"), filepath.Join(dir, "motd.txt")); why != nil {
		t.Error(why)
	}
	why := foreign(f, backup.Place{Name: "client/x", Custom: true}, filepath.Join(dir, "bin"), filepath.Join(dir, "bin"))
	if why == nil || why.Hint != "sudo rm "+filepath.Join(link, "client/x") {
		t.Errorf("the server's program: %+v", why)
	}
}

// A backup holds what is the service's, and leaves out, by name, what a link leads to that its user can make.
func TestBackupFollowsNoLinkAway(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	me, err := user.Current()
	must(t, err)
	theirs, mine, dir := another(t, root), filepath.Join(root, "mine"), filepath.Join(root, "versions", "new")
	touch(t, mine, "file")
	touch(t, dir, "own.css", "data/posts", "config.json")
	must(t, errors.Join(os.Symlink(theirs, filepath.Join(dir, "tls")), os.Symlink(mine, filepath.Join(dir, "brand"))))
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"FileSettings": {"DriverName": "amazons3"}}`), 0o600))
	config, err := (&mattermost.Config{Path: filepath.Join(dir, "config.json")}).Reread()
	must(t, err)
	var notes []string
	op := &Operation{Emit: func(e Event) { notes = append(notes, e.Text) }, Facts: &mattermost.Installation{
		Link: filepath.Join(root, "mattermost"), Dir: dir, Unit: &mattermost.Unit{User: me.Username},
		Config: config,
		Places: []mattermost.Place{{Name: "data", Move: true}, {Name: "tls", Custom: true}, {Name: "brand", Custom: true}, {Name: "own.css", Custom: true, Move: true}}}}
	m := &backup.Manifest{}
	must(t, places(t.Context(), op, m))
	var got []string
	for _, p := range m.Places {
		got = append(got, strings.TrimPrefix(p.Path, root+"/"))
	}
	if want := "versions/new/data mine versions/new/own.css versions/new/config.json"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if text := strings.Join(notes, "\n"); !strings.Contains(text, filepath.Join(dir, "tls")) || !strings.Contains(text, theirs) {
		t.Errorf("what is left out is not named: %s", text)
	}
}
