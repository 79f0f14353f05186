//go:build machine

package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// cut takes the operator's connection away while the service is down. The host goes on alone; the
// next apply finds the run and follows it to its end.
func (s *server) cut(t *testing.T) {
	// The download breaks twice, too: it is resumed.
	localcloud(t, "mirror", "fault", after, "cut", "--bytes", "9000000", "--times", "2").Must(t)
	seen := s.Watched(t, func() {
		first := s.Hold(t, stage.Point{Step: "start"}, func(p *stage.Process, _ int) {
			s.firewall(t, "add table inet severed\n"+
				"add chain inet severed out { type filter hook output priority -300; }\n"+
				"add rule inet severed out tcp dport 22 drop\n"+
				"add chain inet severed back { type filter hook input priority -300; }\n"+
				"add rule inet severed back tcp sport 22 drop\n")
			p.Kill()
			<-p.Ended()
		}, "apply", "--json", "--yes", "--watch", "30s", "--to", after).Wait()
		s.firewall(t, "delete table inet severed\n")
		if first.Code == 0 {
			t.Fatalf("the first apply ended before the connection was cut:\n%s", first)
		}
		r := s.Upgrade(t.Context(), "apply", "--json", "--yes", "--to", after).Must(t)
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

// firewall changes the rules of the cloud's own namespace.
func (s *server) firewall(t *testing.T, rules string) {
	t.Helper()
	cmd := exec.Command("nsenter", "--net="+s.Cloud.NamespacePath(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("nft: %w: %s", err, out))
	}
}
