//go:build machine

package upkeep

import (
	"errors"
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// slow is a package whose script can be caught at work: it ends when the file /run/hold is gone.
func slow(version string) deb {
	return deb{name: "slow", version: version, files: map[string]string{"/usr/share/slow": version},
		postinst: "echo " + version + " >/run/slow; while [ -e /run/hold ]; do sleep 0.1; done"}
}

// TestDpkgInterrupted ends a run while dpkg is at work, by SIGKILL and by the plug.
func TestDpkgInterrupted(t *testing.T) {
	s := square.Fresh(t)
	a := newArchive(t, s)
	a.installed(slow("1"))
	a.publish(slow("2"))
	pid := mainPID(t, s)
	atWork := func(version string) *stage.Process {
		s.Exec(t, "touch /run/hold")
		p := s.StartUpgrade(t.Context(), "os", "apply", "--json", "--yes")
		p.Until(t, func() error {
			if s.Exec(t, "cat /run/slow") != version {
				return errors.New("dpkg is not there yet")
			}
			return nil
		})
		if s.Exec(t, "ls /usr/sbin/policy-rc.d") == "" {
			t.Error("nothing keeps packages from restarting services")
		}
		return p
	}
	whole := func(version string) {
		t.Helper()
		if got := s.Exec(t, "dpkg-query -W -f '${Version} ${db:Status-Status}' slow"); got != version+" installed" {
			t.Errorf("the package is %s", got)
		}
		clean(t, s)
		s.Serves(t, stage.Before)
	}

	killed := atWork("2")
	// What puts the run back finds dpkg at work.
	s.Exec(t, "systemctl kill --kill-whom=main --signal=KILL townsquare-upgrade.service; sleep 5; rm /run/hold")
	r := killed.Wait()
	if r.Code == 0 || !strings.Contains(r.Stdout, "ended without a word") {
		t.Errorf("the run that was killed:\n%s", r)
	}
	whole("2")
	if mainPID(t, s) != pid {
		t.Error("Mattermost was restarted")
	}

	a.publish(slow("3"))
	unplugged := atWork("3")
	s.Kill(t)
	unplugged.Kill()
	s.Start(t)
	if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
		t.Fatal(err)
	}
	stage.Until(t, stage.Patience, func() error {
		if s.Record(t).Run != nil {
			return errors.New("the host has not put the run back")
		}
		return nil
	})
	whole("3")
	osCheck(t, s)

	// What another run of dpkg left is finished by the next one, which has nothing else to do.
	s.Exec(t, "dpkg --unpack"+a.build(slow("4"))+" >/dev/null")
	if found := osCheck(t, s, 10); found.System.Interrupted == "" {
		t.Error("check does not see that dpkg was interrupted")
	}
	osApply(t, s, nil)
	whole("4")
	osCheck(t, s)
}
