//go:build machine

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// cut takes the operator's connection away while the service is down. The host goes on alone; the
// next apply finds the run and follows it to its end.
func (s *server) cut(t *testing.T) {
	// The download breaks twice, too: it is resumed.
	localcloud(t, "mirror", "fault", after, "cut", "--bytes", "9000000", "--times", "2").Must(t)
	last := s.Exec(t, newestLog)
	seen := s.Watched(t, func() {
		operator, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		first := make(chan stage.Result, 1)
		go func() {
			first <- s.Upgrade(operator, "apply", "--json", "--yes", "--watch", "20s", "--to", after)
		}()
		s.waitForStop(t, first, last)
		s.firewall(t, "add table inet severed\n"+
			"add chain inet severed out { type filter hook output priority -300; }\n"+
			"add rule inet severed out tcp dport 22 drop\n"+
			"add chain inet severed back { type filter hook input priority -300; }\n"+
			"add rule inet severed back tcp sport 22 drop\n")
		hangUp()
		r := <-first
		s.firewall(t, "delete table inet severed\n")
		if r.Code == 0 {
			t.Fatalf("the first apply ended before the connection was cut:\n%s", r)
		}
		r = s.Upgrade(t.Context(), "apply", "--json", "--yes", "--to", after).Must(t)
		var got stage.Report
		r.Into(t, &got)
		if got.To != after || got.Outcome != "done" || got.UpToDate {
			t.Errorf("the second apply did not follow the run:\n%s", r)
		}
	})
	if seen.Failed > 0 {
		t.Errorf("%d visitors of %d saw an error: %v", seen.Failed, seen.Asked, seen.Wrong)
	}
	s.whole(t, after)
}

// newestLog names the log of the host's last run.
const newestLog = "ls -t /var/lib/townsquare/runs/*.jsonl | head -1"

// waitForStop returns once the log of a run after last says that the downtime began, and fails when it ended
// before that was seen.
func (s *server) waitForStop(t *testing.T, ended <-chan stage.Result, last string) {
	t.Helper()
	stage.Until(t, 5*time.Minute, func() error {
		select {
		case r := <-ended:
			t.Fatalf("apply ended early:\n%s", r)
		default:
		}
		file := s.Exec(t, newestLog)
		if file == last {
			return errors.New("no run began")
		}
		log := s.Exec(t, "cat "+file)
		if strings.Contains(log, `"kind":"down-end"`) {
			t.Fatal("the downtime was over before the connection could be cut")
		}
		if !strings.Contains(log, `"kind":"down-start"`) {
			return errors.New("the service was not stopped")
		}
		return nil
	})
}

// firewall changes the rules of the cloud's own namespace.
func (s *server) firewall(t *testing.T, rules string) {
	t.Helper()
	cmd := exec.Command("nsenter", "--net="+s.Cloud.NamespacePath(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("nft: %w: %s", err, out))
	}
}
