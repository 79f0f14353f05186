//go:build machine

package safety

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/stage"
)

// hangs is a release whose server never becomes ready: the service is away for as long as it is
// waited for.
const hangs = "9.10.3"

// whileAway begins an upgrade to the release that hangs, and does do while it hangs: of the half minute
// that it may, a second has passed.
func whileAway(t *testing.T, s *stage.Server, do func(p *stage.Process, pid int)) *stage.Process {
	t.Helper()
	return s.Hold(t, stage.Point{Step: "start", Delay: time.Second}, do, "apply", "--yes", "--to", hangs, "--retry-failed")
}

// signal sends a process a signal.
func signal(t *testing.T, pid int, what unix.Signal) {
	t.Helper()
	if err := unix.Kill(pid, what); err != nil {
		t.Fatal(err)
	}
}

// whole wants nothing to be left of a run that did not do, and everything to serve.
func whole(t *testing.T, s *stage.Server) {
	t.Helper()
	s.Serves(t, stage.Before)
	if left := s.Record(t).Run; left != nil {
		t.Errorf("left in the record: %v", left)
	}
	if gate := s.Exec(t, "nft list tables | grep townsquare_gate || true"); gate != "" {
		t.Errorf("the gate is closed: %s", gate)
	}
	for range 2 { // there is nothing to do, however often
		if r := s.Upgrade(t.Context(), "recover").Must(t); !strings.Contains(r.Stdout, "Nothing was left unfinished") {
			t.Errorf("recover says:\n%s", r)
		}
	}
}

// TestWhileDown: whatever happens to a run during its downtime, the old version is back without an operator's help.
func TestWhileDown(t *testing.T) {
	s := fresh(t)
	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "hang").Must(t)
	for _, c := range []struct {
		name string
		do   func(*testing.T, *stage.Server)
	}{
		{"the upgrader hangs", hungUpgrader},
		{"the recovery is killed", killedRecovery},
		{"the power is cut", powerCut},
		{"the lock is taken", takenLock},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.do(t, s)
			whole(t, s)
		})
		if t.Failed() {
			return
		}
	}
}

// hungUpgrader stops the upgrader, as one that hangs: its watchdog ends it.
func hungUpgrader(t *testing.T, s *stage.Server) {
	s.Watched(t, func() {
		p := whileAway(t, s, func(_ *stage.Process, pid int) { signal(t, pid, unix.SIGSTOP) })
		began := time.Now()
		if r := p.Wait().Must(t, 4); !strings.Contains(r.Stdout, "ended without a word") {
			t.Errorf("it says:\n%s", r)
		}
		t.Logf("%v from the hang to the old version's return", time.Since(began).Round(100*time.Millisecond))
	})
}

// killedRecovery kills the recovery as well, twice: systemd goes on until it is done.
func killedRecovery(t *testing.T, s *stage.Server) {
	s.Watched(t, func() {
		p := whileAway(t, s, func(_ *stage.Process, pid int) { signal(t, pid, unix.SIGKILL) })
		s.Exec(t, `for word in --run --boot; do until pkill -KILL -f "host recover $word"; do [ $SECONDS -lt 1200 ]; sleep 0.05; done; done`)
		p.Wait().Must(t, 4, 5) // the follower reads what the log says by then
		stage.Until(t, stage.Patience, func() error {
			if s.Record(t).Run != nil {
				return errors.New("the run is not rolled back")
			}
			return nil
		})
		if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
			t.Error(err)
		}
	})
}

// powerCut cuts the power: at the next boot the service waits until all is back.
func powerCut(t *testing.T, s *stage.Server) {
	whileAway(t, s, func(p *stage.Process, _ int) {
		s.Kill(t)
		p.Kill()
	}).Wait()
	s.Start(t)
	if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
		t.Fatal(err)
	}
	order := s.Exec(t, `
until [ "$(systemctl is-active townsquare-recover)" = inactive ]; do sleep 0.2; done
systemctl show --property=Result,NRestarts townsquare-recover
started=$(systemctl show --property=ExecMainStartTimestampMonotonic --value mattermost)
back=$(systemctl show --property=ActiveEnterTimestampMonotonic --value townsquare-recover)
[ "$back" -gt 0 ] && [ "$started" -ge "$back" ] && echo waited || echo "back at $back, started at $started"`)
	if order != "Result=success\nNRestarts=0\nwaited" {
		t.Errorf("the recovery at boot: %s", order)
	}
}
