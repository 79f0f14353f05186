//go:build machine

package safety

import (
	"errors"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// Where no role may copy the database, or there is no room for a copy, the plan says that it is
// dumped at the stop and what that costs; and the old version comes back from that dump, after a new
// one has changed the database. PostgreSQL dies in the middle of the first restore, and the
// session of the second is ended: traffic is held for what they leave, and the server goes on until all is back.
func TestDumpAtTheStop(t *testing.T) {
	s := fresh(t)
	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "migrate-exit").Must(t)
	const version = "9.10.7"
	plan := func(why string) {
		t.Helper()
		r := s.Upgrade(t.Context(), "plan", "--to", version).Must(t)
		if !strings.Contains(r.Stdout, why) || !strings.Contains(r.Stdout, "by a dump, which adds about") {
			t.Errorf("the plan does not say what a dump at the stop costs, because %s:\n%s", why, r)
		}
	}
	s.Exec(t, `fallocate -l $(($(df --output=avail -B1 /var/lib/postgresql | tail -1) - 150000000)) /var/lib/postgresql/full`)
	plan("there is no room for a copy of the database")
	s.Exec(t, `rm /var/lib/postgresql/full
sed -i '1i local all postgres,townsquare reject' /etc/postgresql/17/main/pg_hba.conf
systemctl reload postgresql`)
	plan("no role here may copy the database")
	if r := s.Upgrade(t.Context(), "rehearse", "--to", version).Must(t, 3); !strings.Contains(r.Stdout+r.Stderr, "for a copy to rehearse on") ||
		!strings.Contains(r.Stdout+r.Stderr, "/etc/townsquare/database-admin.url") {
		t.Errorf("a rehearsal does not say what it lacks:\n%s", r)
	}
	// Each restore waits in its middle, for the strikes to come there.
	s.Input(t, strings.NewReader(`#!/bin/sh
case "$*" in
*--use-list=*) "$0.real" "$@" | { head -c 30000; : >/run/restoring; sleep 2; cat; } ;;
*) exec "$0.real" "$@" ;;
esac
`), `cd /usr/lib/postgresql/17/bin && mv pg_restore pg_restore.real && install -m 755 /dev/stdin pg_restore`)
	s.Exec(t, `systemd-run --quiet --collect --expand-environment=no bash -c '
for what in "systemctl kill --kill-whom=main --signal=KILL postgresql@17-main" "kill \$(pgrep -f \"^postgres: 17/main: mattermost mattermost \")"; do
	until [ -e /run/restoring ]; do sleep 0.02; done
	eval "$what" && echo "$what" >>/run/struck
	rm /run/restoring
done'`)
	s.Watched(t, func() {
		if got := s.Apply(t, version, "2s", 5); got.Outcome != "not-rolled-back" || !strings.Contains(got.Error, "the host tries again by itself") {
			t.Errorf("report is %+v", got)
		}
		began := time.Now()
		stage.Until(t, stage.Patience, func() error {
			if s.Record(t).Run != nil {
				return errors.New("nobody puts the run back")
			}
			return nil
		})
		t.Logf("%v later all is back", time.Since(began).Round(100*time.Millisecond))
	})
	if struck := s.Exec(t, "cat /run/struck"); !strings.Contains(struck, "postgresql@17-main") || !strings.Contains(struck, "kill $(pgrep") {
		t.Errorf("the restore was not disturbed twice:\n%s", struck)
	}
	log := s.Exec(t, "cat $(ls -t /var/lib/townsquare/runs/*.jsonl | head -1); ls /var/lib/townsquare/dumps")
	if !strings.Contains(log, "it is dumped instead") || !strings.Contains(log, "-stopped.dump") {
		t.Errorf("no dump was made at the stop:\n%s", log)
	}
	whole(t, s)
}
