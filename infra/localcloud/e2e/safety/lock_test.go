//go:build machine

package safety

import (
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// takenLock: the lock of a living run is not taken unless forced; then its run is rolled back. One that was left
// behind is freed, and explained.
func takenLock(t *testing.T, s *stage.Server) {
	p := s.Hold(t, stage.Point{Step: "start"}, func(*stage.Process, int) {
		if r := s.Upgrade(t.Context(), "unlock").Must(t, 11); !strings.Contains(r.Stderr, "is at work on this host: apply to "+hangs) {
			t.Errorf("it says:\n%s", r)
		}
	}, "apply", "--yes", "--to", hangs, "--retry-failed")
	if r := s.Upgrade(t.Context(), "unlock", "--force").Must(t); !strings.Contains(r.Stdout, "has stopped and put everything back") {
		t.Errorf("it says:\n%s", r)
	}
	if r := p.Wait().Must(t, 4); !strings.Contains(r.Stdout, "the lock was taken away") {
		t.Errorf("the run says:\n%s", r)
	}
	whole(t, s) // what comes after a run sweeps locks of another boot
	s.Exec(t, `echo '{"who":"ada@laptop","why":"apply to 9.10.0","run":"20261101T000000Z-apply","since":"2026-11-01T00:00:00Z","beat":"2026-11-01T00:00:10Z","pid":7,"boot_id":"x"}' >/var/lib/townsquare/lock`)
	if r := s.Upgrade(t.Context(), "unlock").Must(t); !strings.Contains(r.Stdout, "left behind by ada@laptop (apply to 9.10.0)") {
		t.Errorf("it says:\n%s", r)
	}
}
