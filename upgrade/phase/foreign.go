package phase

import (
	"os"
	"path/filepath"
	"strings"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/internal/untrusted"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
)

// The service's user chooses much of what a backup holds and where a restore puts it: the links in the
// install directory, and the file store that config.json names. Root reads and replaces only what is
// that user's, or lies in a directory for Mattermost's files.

// foreign is why root may not replace what path leads to, which is real; nil where it may.
func foreign(f *mattermost.Installation, p backup.Place, path, real string) *problem.Problem {
	user := f.Unit.User
	there := real
	for there != filepath.Dir(there) && !exists(there) {
		there = filepath.Dir(there)
	}
	named := p.Name == "config.json" && real == path                    // by the unit, which is root's
	within := p.Custom && real == filepath.Join(settled(f.Dir), p.Name) // no link at all
	if named || within || forFiles(f, real) || mattermost.Owns(user, there) {
		return nil
	}
	link := filepath.Join(f.Link, p.Name)
	_, notLink := os.Readlink(link)
	w := &problem.Problem{Where: path, Found: "not " + user + "'s", Allowed: "a directory of " + user + "'s", Hint: "sudo ls -ld " + real}
	switch {
	case p.Custom && notLink == nil:
		w.Where, w.Found = link, "a link to "+real+", which is not "+user+"'s"
		w.Allowed = "no link: its files then go to " + filepath.Join(mattermost.Root(f.Link), "custom", p.Name) + "; or one to what belongs to " + user
		w.Hint = "sudo rm " + link
	case real != path:
		w.Found = "a link to " + real + ", which is not " + user + "'s"
		w.Allowed = "no link, or one to what belongs to " + user
		w.Hint = "sudo ls -ld " + path + " " + real
	case there != real:
		w.Found = "missing, and " + there + " is not " + user + "'s"
		w.Hint = "sudo install -d -o " + user + " -m 0750 " + real
	}
	return w
}

// forFiles reports whether path lies in a directory that is for Mattermost's files only.
func forFiles(f *mattermost.Installation, path string) bool {
	own := mattermost.Root(f.Link)
	for _, dir := range []string{mattermost.StateRoot, filepath.Join(own, "state"), filepath.Join(own, "custom")} {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// backedUp reports whether the place of the installation at path, which is really at real, may be backed
// up. What the server itself uses may be another's, such as on a share, if the server writes to it or an
// administrator's links lead there; what was added may not.
func backedUp(f *mattermost.Installation, path, real string, custom bool) bool {
	user := f.Unit.User
	if f.Dir != "" && strings.HasPrefix(real, settled(f.Dir)+"/") || forFiles(f, real) || mattermost.Owns(user, real) {
		return true
	}
	return !custom && (real == path || untrusted.Writable(user, real) || untrusted.Fixed(path))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
