package phase

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"townsquare/upgrade/problem"
)

// room adds up what is needed where; places on one file system share its free space.
type room struct{ needs []need }

type need struct {
	dir    string
	bytes  uint64
	inodes uint64
	what   string
}

// need asks for room below dir, which need not exist yet.
func (r *room) need(dir string, bytes, inodes uint64, what string) {
	r.needs = append(r.needs, need{dir, bytes, inodes, what})
}

// problems compares with what is free, as statfs says.
func (r *room) problems(statfs func(string, *unix.Statfs_t) error) (problem.List, error) {
	type total struct {
		need
		free, freeInodes uint64
		whats            []string
	}
	var order []unix.Fsid
	sums := map[unix.Fsid]*total{}
	for _, n := range r.needs {
		dir := n.dir
		var fs unix.Statfs_t
		err := statfs(dir, &fs)
		for err == unix.ENOENT && dir != "/" {
			dir = filepath.Dir(dir)
			err = statfs(dir, &fs)
		}
		if err != nil {
			return nil, fmt.Errorf("ask how much room %s has: %w", dir, err)
		}
		t := sums[fs.Fsid]
		if t == nil {
			t = &total{need: need{dir: dir}, free: fs.Bavail * uint64(fs.Bsize), freeInodes: fs.Ffree}
			if fs.Files == 0 {
				t.freeInodes = 1 << 62 // a file system that makes inodes as it needs them
			}
			sums[fs.Fsid] = t
			order = append(order, fs.Fsid)
		}
		t.bytes += n.bytes
		t.inodes += n.inodes
		t.whats = append(t.whats, n.what)
	}
	var found problem.List
	for _, id := range order {
		t := sums[id]
		what := strings.Join(t.whats, ", ")
		if t.free < t.bytes {
			found = append(found, problem.Problem{Where: "disk of " + t.dir, Found: fmt.Sprintf("%d MB free", t.free>>20),
				Allowed: fmt.Sprintf("%d MB, for %s", t.bytes>>20, what), Hint: "sudo du -xh --max-depth=2 " + t.dir + " | sort -h | tail"})
		}
		if t.freeInodes < t.inodes {
			found = append(found, problem.Problem{Where: "disk of " + t.dir, Found: fmt.Sprintf("%d inodes free", t.freeInodes),
				Allowed: fmt.Sprintf("%d, for %s", t.inodes, what), Hint: "df -i " + t.dir})
		}
	}
	return found, nil
}
