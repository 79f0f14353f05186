//go:build machine

package safety

import (
	"errors"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// hangs is a release whose server never becomes ready: the service is away for as long as it is
// waited for.
const hangs = "9.10.3"

// begun starts an upgrade, and returns once its log has all of the words.
func begun(t *testing.T, s *stage.Server, arguments []string, words ...string) *stage.Process {
	t.Helper()
	const newest = "ls -t /var/lib/townsquare/runs/*.jsonl | head -1"
	last := s.Exec(t, newest)
	p := s.StartUpgrade(t.Context(), append([]string{"apply", "--yes"}, arguments...)...)
	stage.Until(t, 3*time.Minute, func() error {
		select {
		case <-p.Ended():
			t.Fatalf("it ended early:\n%s", p.Wait())
		default:
		}
		file := s.Exec(t, newest)
		log := s.Exec(t, "cat "+file)
		for _, word := range words {
			if file == last || !strings.Contains(log, word) {
				return errors.New("its log has no " + word)
			}
		}
		return nil
	})
	return p
}

// untilAway begins an upgrade to a release that hangs, and returns while the service is away.
func untilAway(t *testing.T, s *stage.Server) *stage.Process {
	t.Helper()
	return begun(t, s, []string{"--to", hangs}, `"phase":"start the new version"`)
}

// mainPID finds the upgrader; 0 would be the test's own group of processes.
const mainPID = `pid=$(systemctl show --property=MainPID --value townsquare-upgrade); [ "$pid" -gt 1 ]; `

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

// An upgrader that is stopped, as one that hangs, while the service is away is ended by its
// watchdog, and the old version is back without anybody's help.
func TestHungUpgrader(t *testing.T) {
	s := fresh(t)
	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "hang").Must(t)
	s.Watched(t, func() {
		p := untilAway(t, s)
		began := time.Now()
		s.Exec(t, mainPID+`kill -STOP "$pid"`)
		if r := p.Wait().Must(t, 4); !strings.Contains(r.Stdout, "ended without a word") {
			t.Errorf("it says:\n%s", r)
		}
		t.Logf("%v from the hang to the old version's return", time.Since(began).Round(100*time.Millisecond))
	})
	whole(t, s)
}

// The recovery is killed as well, twice: systemd goes on until it is done.
func TestKilledRecovery(t *testing.T) {
	s := fresh(t)
	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "hang").Must(t)
	s.Watched(t, func() {
		p := untilAway(t, s)
		s.Exec(t, mainPID+`
kill -KILL "$pid"
for word in --run --boot; do
	for _ in $(seq 600); do
		pid=$(pgrep -f "host recover $word" | head -1) && break
		sleep 0.05
	done
	kill -KILL "$pid"
done`)
		p.Wait().Must(t, 4, 5) // whoever followed hears what the log says by then
		stage.Until(t, 5*time.Minute, func() error {
			if s.Record(t).Run != nil {
				return errors.New("nobody puts the run back")
			}
			return nil
		})
		if err := s.Await(t.Context(), 3*time.Minute, stage.Before); err != nil {
			t.Error(err)
		}
	})
	whole(t, s)
}

// Power is lost while the service is away: at the next boot the service waits until all is back.
func TestPowerCut(t *testing.T) {
	s := fresh(t)
	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "hang").Must(t)
	p := untilAway(t, s)
	s.Kill(t)
	p.Kill()
	<-p.Ended()
	s.Start(t)
	if err := s.Await(t.Context(), 3*time.Minute, stage.Before); err != nil {
		t.Fatal(err)
	}
	order := s.Exec(t, `
until [ "$(systemctl is-active townsquare-recover)" = inactive ]; do sleep 0.2; done
systemctl show --property=Result,NRestarts townsquare-recover
started=$(systemctl show --property=ExecMainStartTimestampMonotonic --value mattermost)
back=$(journalctl -b -u townsquare-recover -o json | sed -n 's/.*"__MONOTONIC_TIMESTAMP":"\([0-9]*\)".*Started.*/\1/p;s/.*Started.*"__MONOTONIC_TIMESTAMP":"\([0-9]*\)".*/\1/p' | head -1)
[ "$started" -ge "$back" ] && echo waited`)
	if order != "Result=success\nNRestarts=0\nwaited" {
		t.Errorf("the recovery at boot: %s", order)
	}
	whole(t, s)
}
