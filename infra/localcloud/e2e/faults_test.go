//go:build machine

package e2e

import (
	"slices"
	"testing"
	"time"
)

// fault is a release that the mirror offers with something wrong.
type fault struct {
	name    string
	version string
}

// damaged archives must be refused before anything is touched.
var damaged = []fault{
	{"of another hash", "9.10.21"},
	{"of another signature", "9.10.22"},
	{"corrupt", "9.10.23"},
	{"cut off", "9.10.24"},
}

// broken versions are genuine and fail once they run.
var broken = []fault{
	{"exits", "9.10.11"},
	{"hangs", "9.10.12"},
	{"crash-loops", "9.10.13"},
	{"answers as another", "9.10.14"},
}

func (s *server) damaged(t *testing.T, f fault) {
	pid := s.shell(t, "systemctl show -p MainPID -p ActiveEnterTimestamp mattermost")
	s.apply(t, f.version, 1, 3)
	if is := s.shell(t, "systemctl show -p MainPID -p ActiveEnterTimestamp mattermost"); is != pid {
		t.Errorf("the service was touched: %s, was %s", is, pid)
	}
	if slices.Contains(s.bad(t), f.version) {
		t.Errorf("%s is on the skip list, though it never ran", f.version)
	}
	s.whole(t, before)
}

// serviceBack is the promise: after a version that does not work, the old one serves again
// within this time.
const serviceBack = 60 * time.Second

func (s *server) broken(t *testing.T, f fault) {
	seen := s.watched(t, func() {
		if got := s.apply(t, f.version, 4); got.Outcome != "rolled-back" {
			t.Errorf("report is %+v", got)
		}
	})
	if seen.Gap > serviceBack {
		t.Errorf("nobody was served for %v", seen.Gap)
	}
	s.whole(t, before)
	if !slices.Contains(s.bad(t), f.version) {
		t.Errorf("%s is not on the skip list: %v", f.version, s.bad(t))
	}
	if r := s.upgrade(t.Context(), "apply", "--json", "--yes", "--to", f.version); r.code != 3 {
		t.Errorf("the same version again, unasked-for, want exit code 3:\n%s", r)
	}
}
