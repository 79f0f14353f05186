//go:build machine

package e2e

import (
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// resized gives the server another size while people write: Mattermost and PostgreSQL stop cleanly, the
// server serves again after `pulumi up` alone, and a repair tunes PostgreSQL for the new memory.
func (s *server) resized(t *testing.T) {
	s.set = append(s.set, "--set", "townsquare:size=s-8vcpu-16gb")
	plan := localcloud(t, append([]string{"pulumi", "preview", "--stack", "dev"}, s.set...)...).Must(t)
	if !strings.Contains(plan.Stdout, "Mattermost is down for several minutes") {
		t.Errorf("the plan does not say how long:\n%s", plan)
	}
	const log = "/var/log/postgresql/postgresql-17-main.log"
	before := s.Exec(t, "stat -c %s "+log+"; cat /proc/sys/kernel/random/boot_id")
	size, boot, _ := strings.Cut(before, "\n")
	seen := s.Watched(t, func() {
		up := localcloud(t, append([]string{"pulumi", "up", "--stack", "dev"}, s.set...)...).Must(t)
		served := time.Now()
		if err := s.Await(t.Context(), stage.Patience, patch); err != nil {
			t.Fatal(err)
		}
		t.Logf("pulumi up took %v; Mattermost answered %v later", up.Took, time.Since(served))
	})
	t.Logf("visitors: %+v", seen)
	database := s.Exec(t, "tail -c +$(("+size+" + 1)) "+log)
	if !strings.Contains(database, "database system is shut down") || strings.Contains(database, "not properly shut down") {
		t.Errorf("PostgreSQL lost its power:\n%s", database)
	}
	// The last words of the boot before.
	unit := s.Exec(t, "journalctl --boot "+strings.ReplaceAll(boot, "-", "")+" --unit mattermost --output cat --lines 5")
	if !strings.Contains(unit, "mattermost.service: Deactivated successfully") {
		t.Errorf("Mattermost was not stopped:\n%s", unit)
	}
	s.whole(t, patch)
	const buffers = "grep -h shared_buffers /etc/postgresql/17/main/conf.d/townsquare.conf"
	if got := s.Exec(t, buffers); got != "shared_buffers = 1024MB" {
		t.Errorf("before the repair: %s", got)
	}
	s.Upgrade(t.Context(), "repair", "--yes").Must(t)
	if got := s.Exec(t, buffers); got != "shared_buffers = 2048MB" {
		t.Errorf("after the repair: %s", got)
	}
}
