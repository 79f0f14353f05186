//go:build machine

package upkeep

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// window is one of every day, from so many hours from now on, two hours long. Machines share this
// computer's clock, so that the calendar has to come to them.
func window(in time.Duration) string {
	begin := time.Now().UTC().Add(in)
	return fmt.Sprintf("daily %s-%s", begin.Format("15:04"), begin.Add(2*time.Hour).Format("15:04"))
}

// TestTimers: a server that the stack leaves to itself gets its timers from the first apply, finds a
// new release, waits for the window, and installs it there with nobody typing anything.
func TestTimers(t *testing.T) {
	s := square.Upgraded(t)
	a := newArchive(t, s)
	a.installed(database("1"))
	square.Localcloud(t.Context(), "pulumi", "up", "--stack", "dev", "--set", "townsquare:timers=true",
		"--set", "townsquare:window="+window(6*time.Hour)).Must(t)
	t.Cleanup(func() {
		square.Localcloud(context.WithoutCancel(t.Context()), "pulumi", "up", "--stack", "dev").Must(t)
	})
	t.Run("apply switches them on", func(t *testing.T) {
		r := s.Upgrade(t.Context(), "apply", "--yes").Must(t)
		if !strings.Contains(r.Stdout+r.Stderr, "timers") {
			t.Errorf("without a word:\n%s", r)
		}
		listed := s.Exec(t, "systemctl list-timers --no-pager 'townsquare-*'")
		for _, name := range []string{"check", "upgrade", "os", "backup", "verify"} {
			name = "townsquare-" + name + ".timer"
			if !strings.Contains(listed, name) {
				t.Errorf("no %s in\n%s", name, listed)
			}
		}
		if said := s.Exec(t, "systemd-analyze verify /etc/systemd/system/townsquare-*.timer 2>&1 || true"); strings.Contains(said, "townsquare") {
			t.Errorf("systemd-analyze verify: %s", said)
		}
		before := s.Exec(t, "stat -c '%n %Y %i' /etc/systemd/system/townsquare-*")
		s.Upgrade(t.Context(), "timers", "enable").Must(t)
		if after := s.Exec(t, "stat -c '%n %Y %i' /etc/systemd/system/townsquare-*"); after != before {
			t.Errorf("enabled twice:\n%s\n%s", before, after)
		}
		var list struct{ Timers []struct{ Next time.Time } }
		s.Upgrade(t.Context(), "timers", "list", "--json").Must(t).Into(t, &list)
		for _, timer := range list.Timers {
			if timer.Next.Before(time.Now()) {
				t.Errorf("nothing comes next: %+v", list)
				break
			}
		}
	})
	square.Localcloud(t.Context(), "mirror", "publish", stage.Patch).Must(t)
	t.Run("check finds a release", func(t *testing.T) {
		s.Exec(t, "systemctl start townsquare-check.service")
		said := s.Exec(t, "journalctl --sync; journalctl --no-pager -o cat -t townsquare")
		if !strings.Contains(said, "Updates are available") || !strings.Contains(said, "Mattermost "+stage.Patch) {
			t.Errorf("the journal has\n%s", said)
		}
	})
	t.Run("outside the window nothing is done", func(t *testing.T) {
		runs := s.Exec(t, "ls /var/lib/townsquare/runs")
		s.Exec(t, "systemctl start townsquare-apply.service")
		said := s.Exec(t, "journalctl --no-pager -o cat -u townsquare-apply.service -n 20")
		if after := s.Exec(t, "ls /var/lib/townsquare/runs"); after != runs {
			t.Errorf("a run began:\n%s\n%s", after, said)
		}
		s.Serves(t, stage.After)
	})
	t.Run("a backup is made by itself", func(t *testing.T) { backupByItself(t, s) })
	a.publish(database("2"))
	t.Run("in the window it is installed, when nobody else is at work", func(t *testing.T) { inWindow(t, s) })
	t.Run("switched off", func(t *testing.T) {
		s.Upgrade(t.Context(), "timers", "disable").Must(t)
		if left := s.Exec(t, "ls /etc/systemd/system | grep -E '^townsquare-(check|upgrade|apply|os)[.](timer|service)$' || true"); left != "" {
			t.Errorf("left: %s", left)
		}
	})
}

// silenced is what makes a server silent without a word: its timers and the recovery are off, its backups
// cannot be made, Mattermost is stopped.
const silenced = `systemctl disable --quiet --now townsquare-backup.timer
systemctl stop townsquare-upgrade.timer
systemctl disable --quiet townsquare-recover.service
chmod 644 /etc/townsquare/backup.password
systemctl stop mattermost`

// TestSilence wants all of that to be named by status and put back by repair, and timers enable to do its part.
func TestSilence(t *testing.T) {
	s := square.Upgraded(t)
	square.Localcloud(t.Context(), "pulumi", "up", "--stack", "dev", "--set", "townsquare:timers=true").Must(t)
	t.Cleanup(func() {
		square.Localcloud(context.WithoutCancel(t.Context()), "pulumi", "up", "--stack", "dev").Must(t)
	})
	s.Upgrade(t.Context(), "apply", "--yes").Must(t)
	names := []string{"townsquare-backup.timer is switched off", "townsquare-upgrade.timer is stopped", "townsquare-recover.service is not enabled at boot",
		"/etc/townsquare/backup.password has the mode 0644, not 0600"}
	s.Exec(t, silenced)
	if r := s.Upgrade(t.Context(), "status").Must(t, 1); !strings.Contains(r.Stdout, "mattermost.service does not run") {
		t.Errorf("status says\n%s", r)
	}
	s.Exec(t, "systemctl start mattermost")
	s.Serves(t, stage.After)
	r := s.Upgrade(t.Context(), "status").Must(t, 13)
	d := look(t, s, 10, "repair", "--show")
	back, left := d.names()
	for _, name := range names {
		if !strings.Contains(r.Stdout, name) || !strings.Contains(back, name) {
			t.Errorf("not named: %s", name)
		}
	}
	if strings.Count(back, "\n") != len(names) || left != "" {
		t.Errorf("to put back:\n%s\nto leave:\n%s", back, left)
	}
	// What status lists is pasted as it stands.
	var attention struct{ Attention []struct{ ID, Hint string } }
	s.Upgrade(t.Context(), "status", "--json").Must(t, 13).Into(t, &attention)
	s.Exec(t, "systemctl stop mattermost")
	typed := map[string]bool{}
	for _, a := range attention.Attention {
		if !typed[a.Hint] {
			s.Type(t, a.Hint).Must(t, 0, 10, 13)
		}
		typed[a.Hint] = true
	}
	s.Serves(t, stage.After)
	is := s.Exec(t, `systemctl is-enabled townsquare-backup.timer townsquare-upgrade.timer townsquare-recover.service mattermost | sort -u
systemctl is-active townsquare-backup.timer townsquare-upgrade.timer mattermost | sort -u
stat -c '%U %a' /etc/townsquare/backup.password`)
	if strings.TrimSpace(is) != "enabled\nactive\nroot 600" {
		t.Errorf("repaired, it is\n%s", is)
	}
	if d := status(t, s); len(d.Drift) > 0 {
		t.Errorf("repaired, it differs: %+v", d.Drift)
	}
	s.Exec(t, "systemctl disable --quiet --now townsquare-os.timer")
	s.Upgrade(t.Context(), "apply", "--yes").Must(t)
	if is := s.Exec(t, "systemctl is-active townsquare-os.timer"); strings.TrimSpace(is) != "active" {
		t.Errorf("after an apply the timer is %s", is)
	}
	s.Exec(t, "systemctl disable --quiet --now townsquare-check.timer")
	_, hint, _ := strings.Cut(s.Upgrade(t.Context(), "timers", "list").Must(t).Stderr, "-> ")
	if r := s.Type(t, hint).Must(t); !strings.Contains(r.Stdout, "Enabled: townsquare-check.") {
		t.Errorf("%s", r)
	}
	if r := s.Upgrade(t.Context(), "timers", "list").Must(t); strings.Count(r.Stdout, "never") != 5 {
		t.Errorf("none of them ran:\n%s", r)
	}
	// The start has ended before what the unit does when it stops.
	s.Exec(t, `systemctl start townsquare-check.service
until [ "$(systemctl show -P ActiveState townsquare-check.service)" = inactive ]; do sleep 0.1; done
test -s /var/lib/townsquare/timers/townsquare-check.service.json`)
	s.Kill(t)
	s.Start(t)
	if err := s.Await(t.Context(), stage.Patience, stage.After); err != nil {
		t.Fatal(err)
	}
	if r := s.Upgrade(t.Context(), "timers", "list").Must(t); strings.Count(r.Stdout, "never") != 4 {
		t.Errorf("of the check that ran before the boot nothing is known:\n%s", r)
	}
}

// soon makes a timer elapse a second after it is started, and starts it.
func soon(t *testing.T, s *stage.Server, name string) {
	t.Helper()
	s.Exec(t, strings.ReplaceAll(`mkdir -p /etc/systemd/system/NAME.timer.d
printf '[Timer]\nOnActiveSec=1s\nAccuracySec=100ms\nRandomizedDelaySec=0\n' >/etc/systemd/system/NAME.timer.d/soon.conf
systemctl daemon-reload
systemctl restart NAME.timer`, "NAME", name))
}

// past is a run in the server's history.
type past struct {
	stage.Report
	Operation string
	Packages  []struct{ Name string }
}

// ended waits for the newest run in the history to be of an operation.
func ended(t *testing.T, s *stage.Server, operation string) past {
	t.Helper()
	var history []past
	stage.Until(t, stage.Patience, func() error {
		history = nil
		s.Upgrade(t.Context(), "history", "--json").Must(t).Into(t, &history)
		if len(history) == 0 || history[0].Operation != operation {
			return fmt.Errorf("no %s is the newest in the history: %+v", operation, history)
		}
		return nil
	})
	return history[0]
}

// hold is somebody at work for a while, who has written nothing down.
func hold(t *testing.T, s *stage.Server, seconds int) {
	t.Helper()
	s.Exec(t, fmt.Sprintf("systemd-run --quiet flock /var/lib/townsquare/lock sleep %d", seconds))
}

// backupByItself lets the backup's timer elapse, for the bucket of the stack, while somebody holds the
// lock for a while.
func backupByItself(t *testing.T, s *stage.Server) {
	hold(t, s, 8)
	soon(t, s, "townsquare-backup")
	// It would elapse again at the next daemon-reload.
	defer s.Exec(t, "rm -r /etc/systemd/system/townsquare-backup.timer.d; systemctl daemon-reload")
	if last := ended(t, s, "backup"); last.Outcome != "done" {
		t.Errorf("the record is %+v", last)
	}
	var list []struct{ ID string }
	if s.Upgrade(t.Context(), "backup", "list", "--json").Must(t).Into(t, &list); len(list) == 0 {
		t.Error("no backup in the bucket")
	}
}

// inWindow lets the timer elapse by itself, while somebody holds the lock for a while.
func inWindow(t *testing.T, s *stage.Server) {
	s.Exec(t, fmt.Sprintf(`sed -i 's/^window:.*/window: %s/' /etc/townsquare/upgrade.yaml
echo 'watch: 2s' >>/etc/townsquare/upgrade.yaml`, window(-time.Hour)))
	hold(t, s, 8)
	soon(t, s, "townsquare-upgrade")
	if err := s.Await(t.Context(), stage.Patience, stage.Patch); err != nil {
		t.Log(s.Exec(t, "journalctl --no-pager -o cat -n 60 -u 'townsquare-*'"))
		t.Fatal(err)
	}
	if last := ended(t, s, "all"); last.From != stage.After || last.To != stage.Patch || last.Outcome != "done" || len(last.Packages) != 1 {
		t.Errorf("the record is %+v", last)
	}
	s.Serves(t, stage.Patch)
	if failed := s.Exec(t, "systemctl list-units --failed --no-legend 'townsquare-*'"); failed != "" {
		t.Errorf("failed: %s", failed)
	}
}
