//go:build machine

package safety

import (
	"errors"
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// long keeps restic at the files for many seconds: it must read what takes no room.
const long = "/var/lib/mattermost/data/long.bin"

// holdFiles lets a backup come to its files, with the lock of the repository in its hand, and stops
// restic there.
const holdFiles = `for _ in $(seq 1000); do
	if pid=$(pgrep -f '^restic .*--tag files' | head -1) && [ -n "$(ls ` + repository + `/locks)" ] && kill -STOP "$pid"; then
		[ -n "$(ls ` + repository + `/locks)" ] && exit 0
		kill -CONT "$pid"
	fi
	sleep 0.02
done; exit 1`

// A backup that is killed, or whose server loses power, is none: it stands in nobody's list, and in no
// later one's way.
func TestBackupCutShort(t *testing.T) {
	s := own(t)
	backups(t, s)
	last := do(t, s, 0, "backup", "create").Backup.ID
	for i, c := range []struct {
		name   string
		strike func(*stage.Process)
	}{
		{"killed", func(p *stage.Process) {
			s.Exec(t, "systemctl kill --kill-whom=all --signal=KILL townsquare-upgrade.service")
			p.Wait().Must(t, 1, 4)
		}},
		{"power cut", func(p *stage.Process) {
			s.Kill(t)
			p.Kill()
			s.Start(t)
			if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		if !stage.Due(i) {
			continue
		}
		s.Exec(t, "truncate --size 16G "+long+"; chown mattermost: "+long)
		p := s.StartUpgrade(t.Context(), "backup", "create", "--json")
		s.Exec(t, holdFiles)
		c.strike(p)
		s.Exec(t, "rm "+long)
		stage.Until(t, stage.Patience, func() error {
			if s.Record(t).Run != nil {
				return errors.New("the run is in the record")
			}
			return nil
		})
		if s.Exec(t, "ls "+repository+"/locks") == "" {
			t.Errorf("%s: restic has left no lock, and nothing was tried", c.name)
		}
		var list []backupLine
		s.Upgrade(t.Context(), "backup", "list", "--json").Must(t).Into(t, &list)
		if len(list) != 1 || list[0].ID != last {
			t.Errorf("%s: the backups are %+v, the only whole one is %s", c.name, list, last)
		}
		last = do(t, s, 0, "backup", "create").Backup.ID
		// keep: {last: 1, daily: 1} leaves that one, of three parts; what was cut short goes with the older. A lock
		// that restic had not finished writing at the cut keeps a name that restic passes over.
		if left := s.Exec(t, restic+`snapshots --json | grep -o '"short_id"' | wc -l; ls --ignore='*-tmp-*' `+repository+`/locks`); strings.TrimSpace(left) != "3" {
			t.Errorf("%s: snapshots and locks that are left: %s", c.name, left)
		}
	}
	if r := do(t, s, 0, "backup", "verify"); !r.Backup.Restorable || r.Backup.ID != last {
		t.Errorf("the proof: %+v", r)
	}
}
