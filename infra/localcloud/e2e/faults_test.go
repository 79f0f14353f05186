//go:build machine

package e2e

import (
	"slices"
	"testing"
	"time"
)

// damage is something wrong on the way from the mirror, in the words of `localcloud mirror fault`.
type damage struct {
	name  string
	fault []string
}

// damaged releases and pages must be refused before anything is touched.
var damaged = []damage{
	{"of another hash", []string{"archive", "wrong-hash", "--version", after}},
	{"signed by another key", []string{after + ".sig", "wrong-signature"}},
	{"corrupt", []string{after, "corrupt", "--bytes", "1000000"}},
	{"not there", []string{after, "status", "--status", "404"}},
	{"listed on a page of another shape", []string{"archive", "shape"}},
}

// fault is a genuine release that fails once it runs.
type fault struct {
	name    string
	version string
	kind    string // in the words of `localcloud mirror publish --bad`
	watch   string // how long the upgrade looks on; it must see the fault
}

var broken = []fault{
	{"exits", "9.10.2", "exit", "10s"},
	{"hangs", "9.10.3", "hang", "10s"},
	{"crash-loops", "9.10.4", "crash", "20s"},
	{"answers as another", "9.10.5", "wrong-version", "10s"},
	{"exits after its migrations", "9.10.7", "migrate-exit", "10s"},
	{"dies while it is watched", "9.10.9", "crash-later", "40s"},
}

func (s *server) damaged(t *testing.T, d damage) {
	localcloud(t, append([]string{"mirror", "fault"}, d.fault...)...).Must(t)
	defer func() { localcloud(t, "mirror", "fault", "--clear").Must(t) }()
	pid := s.Exec(t, "systemctl show -p MainPID -p ActiveEnterTimestamp mattermost")
	s.Apply(t, after, "10s", 1, 3)
	if is := s.Exec(t, "systemctl show -p MainPID -p ActiveEnterTimestamp mattermost"); is != pid {
		t.Errorf("the service was touched: %s, was %s", is, pid)
	}
	if slices.Contains(s.Bad(t), after) {
		t.Errorf("%s is on the skip list, though it never ran", after)
	}
	s.whole(t, before)
}

// serviceBack is the promise: after a version that does not work, the old one serves again
// within this time.
const serviceBack = 60 * time.Second

func (s *server) broken(t *testing.T, f fault) {
	localcloud(t, "mirror", "publish", "--bad", f.kind).Must(t)
	defer func() { localcloud(t, "mirror", "withdraw", f.version).Must(t) }()
	seen := s.Watched(t, func() {
		if got := s.Apply(t, f.version, f.watch, 4); got.Outcome != "rolled-back" {
			t.Errorf("report is %+v", got)
		}
	})
	if seen.Gap > serviceBack {
		t.Errorf("nobody was served for %v", seen.Gap)
	}
	s.whole(t, before)
	if !slices.Contains(s.Bad(t), f.version) {
		t.Errorf("%s is not on the skip list: %v", f.version, s.Bad(t))
	}
	if r := s.Upgrade(t.Context(), "apply", "--json", "--yes", "--to", f.version); r.Code != 3 {
		t.Errorf("the same version again, unasked-for, want exit code 3:\n%s", r)
	}
}
