package phase

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

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

// problems compares with what is free: space tells that of one directory, and which file system it
// is on.
func (r *room) problems(space func(string) (free, inodes uint64, id any, err error)) (problem.List, error) {
	type total struct {
		need
		free, freeInodes uint64
		whats            []string
	}
	var order []*total
	sums := map[any]*total{}
	for _, n := range r.needs {
		dir := n.dir
		free, inodes, id, err := space(dir)
		for errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			free, inodes, id, err = space(dir)
		}
		if err != nil {
			return nil, fmt.Errorf("ask how much room %s has: %w", dir, err)
		}
		t := sums[id]
		if t == nil {
			t = &total{need: need{dir: dir}, free: free, freeInodes: inodes}
			sums[id] = t
			order = append(order, t)
		}
		t.bytes += n.bytes
		t.inodes += n.inodes
		t.whats = append(t.whats, n.what)
	}
	var found problem.List
	for _, t := range order {
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

// size is how much the files below dir weigh; what cannot be read weighs nothing.
func size(dir string) (bytes uint64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			bytes += uint64(info.Size())
		}
		return nil
	})
	return bytes
}
