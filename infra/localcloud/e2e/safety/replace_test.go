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

// TestRestore: in the place of a service that has lost something, and not without being told to.
func TestRestore(t *testing.T) {
	s := own(t)
	backups(t, s)
	s.Exec(t, "echo ours >/opt/mattermost/motd.txt; chown mattermost: /opt/mattermost/motd.txt")
	made := do(t, s, 0, "backup", "create")
	s.Exec(t, "rm -rf /var/lib/mattermost/data/2*; echo changed >/opt/mattermost/motd.txt; echo mine >/opt/mattermost/later.txt")
	later := s.Admin().Write(t.Context(), s.People.Channels[0].ID)
	time.Sleep(2 * time.Second)
	if l := later.End(); len(l.Posts) == 0 {
		t.Fatal("nobody could write")
	}
	written := later.SoFar()
	brokenOff(t, s, made.Backup.ID)
	if lost := written.Lost(t.Context(), s.Admin()); len(lost) > 0 {
		t.Errorf("written since the backup, and gone with a restore that was put back: %v", lost)
	}
	if r := do(t, s, 3, "restore", "latest", "--yes"); len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Hint, "--replace") {
		t.Errorf("in the place of a service, unasked: %+v", r)
	}
	envy := rename(t, s)
	r := do(t, s, 0, "restore", made.Backup.ID, "--yes", "--replace", "--watch", "2s")
	t.Logf("away for %v", r.Downtime)
	envy()
	s.Serves(t, stage.Before)
	tidy(t, s)
	// What was replaced is kept, and nothing beside it.
	if left := s.Exec(t, `find /var/lib/mattermost /opt/townsquare -maxdepth 2 -path '*/.townsquare-*' ! -name '.townsquare-*' ! -name before`); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if kept := s.Exec(t, `cat /opt/townsquare/.townsquare-restore-*/before/motd.txt; ls -d /var/lib/mattermost/.townsquare-restore-*/before/data | wc -l`); kept != "changed\n1" {
		t.Errorf("of what was replaced is kept: %q", kept)
	}
	if got := s.Exec(t, `cat /opt/mattermost/motd.txt /opt/mattermost/later.txt; stat -c %U -L /opt/mattermost/motd.txt`); got != "ours\nmine\nmattermost" {
		t.Errorf("files that were added: %q", got)
	}
	if got := s.Exec(t, `stat -c '%U %a' /var/lib/mattermost/data /var/lib/mattermost/config/config.json`); strings.Contains(got, "root") {
		t.Errorf("owners and modes: %s", got)
	}
}

// brokenOff has two restores fail, the first before it has stopped anybody, and wants the service
// that they were to replace.
func brokenOff(t *testing.T, s *stage.Server, backup string) {
	t.Helper()
	s.Upgrade(t.Context(), "backup", "list").Must(t) // from here on its manifest is at hand
	s.Exec(t, "mv "+repository+"/data "+repository+"/away")
	r := s.Upgrade(t.Context(), "restore", backup, "--yes", "--replace", "--watch", "2s", "--json").Must(t, 1, 4)
	s.Exec(t, "rmdir "+repository+"/data 2>/dev/null || true; mv "+repository+"/away "+repository+"/data")
	if strings.Contains(r.Stdout, `"kind":"down"`) {
		t.Errorf("somebody was stopped for it:\n%s", r)
	}
	asBefore(t, s)

	// Killed while some of the files are those of the backup already, and the database.
	over, struck := make(chan struct{}), make(chan error, 1)
	go func() {
		struck <- s.Strike(t.Context(), stage.Point{Step: "exchange", Saves: 6}, over, func(pid int) error {
			return unix.Kill(pid, unix.SIGKILL)
		})
	}()
	p := s.StartUpgrade(t.Context(), "restore", backup, "--yes", "--replace", "--watch", "2s", "--json")
	killed := p.Wait()
	close(over)
	if err := <-struck; err != nil {
		t.Fatalf("%v\n%s", err, killed)
	}
	killed.Must(t, 1, 4)
	if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
		t.Fatal(err)
	}
	asBefore(t, s)
}

// asBefore wants nothing to be left of a restore that was put back.
func asBefore(t *testing.T, s *stage.Server) {
	t.Helper()
	stage.Until(t, stage.Patience, func() error {
		if s.Record(t).Run != nil {
			return errors.New("the run is in the record")
		}
		return nil
	})
	tidy(t, s)
	if left := s.Exec(t, `find /var/lib/mattermost /opt/townsquare -maxdepth 2 -name '.townsquare-*'; cat /opt/mattermost/motd.txt`); left != "changed" {
		t.Errorf("not as before: %s", left)
	}
}

// rename makes the server one on which the service's user may exchange whatever lies beside its data,
// as on those made by hand, and has that user do so with what a restore puts there. The function that
// it returns wants it to have been in vain.
func rename(t *testing.T, s *stage.Server) func() {
	t.Helper()
	s.Exec(t, `chown mattermost: /var/lib/mattermost; chmod 750 /var/lib/mattermost; mkdir -m 777 /srv/won
systemd-run --quiet --unit=envy --uid=mattermost bash -c 'cd /var/lib/mattermost; while :; do
	for d in .townsquare-restore-*; do mv -T "$d" gone && ln -s /srv/won "$d"; done 2>/dev/null; sleep 0.02
done'`)
	return func() {
		t.Helper()
		if won := s.Exec(t, `systemctl stop envy; ls -A /srv/won; find /var/lib/mattermost -maxdepth 1 -name gone; stat -c '%U:%G %a' /var/lib/mattermost`); won != "root:mattermost 1770" {
			t.Errorf("the service's user has put a link in the way: %s", won)
		}
	}
}
