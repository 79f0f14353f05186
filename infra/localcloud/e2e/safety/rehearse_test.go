//go:build machine

package safety

import (
	"errors"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// rehearsal is what `upgrade rehearse --json` prints.
type rehearsal struct {
	Outcome string `json:"outcome"`
	Error   string `json:"error"`
	Trial   *struct {
		Source     string        `json:"source"`
		Migrations int           `json:"migrations"`
		Downtime   time.Duration `json:"downtime_ns"`
		Copying    time.Duration `json:"copying_ns"`
		Starting   time.Duration `json:"starting_ns"`
		Dropped    []string      `json:"settings_dropped"`
		Plugins    []string      `json:"plugins_failed"`
		Asked      int           `json:"asked"`
		Failed     int           `json:"failed"`
		Waited     time.Duration `json:"waited_ns"`
		Slowest    time.Duration `json:"slowest_ns"`
	} `json:"rehearsal"`
}

func rehearse(t *testing.T, s *stage.Server, version string, code int, more ...string) rehearsal {
	t.Helper()
	r := s.Upgrade(t.Context(), append([]string{"rehearse", "--json", "--watch", "2s", "--to", version}, more...)...)
	r.Must(t, code)
	var got rehearsal
	r.Into(t, &got)
	t.Logf("rehearse --to %s: exit code %d, %s, %v in all; %+v", version, r.Code, got.Outcome, r.Took.Round(100*time.Millisecond), got.Trial)
	return got
}

// live is all of the server that a rehearsal must leave alone, but for what people write meanwhile:
// process, configuration, link, files, schema, databases, who listens.
const live = `
systemctl show -p MainPID -p ActiveEnterTimestamp mattermost
stat -c '%n %i %y %s' /var/lib/mattermost/config/config.json; sha256sum /var/lib/mattermost/config/config.json
readlink /opt/mattermost; find -L /opt/mattermost /etc/townsquare -xdev \( -path '*/data*' -o -path '*/logs*' \) -prune -o -type f -printf '%p %i %T@ %s\n' | sort | sha256sum
find /var/lib/mattermost/plugins /var/lib/mattermost/client-plugins -printf '%p %i %T@\n' | sort | sha256sum
runuser -u postgres -- psql -XAtqc "select datname from pg_database order by 1"
runuser -u postgres -- psql -XAtq -d mattermost -c "select version, name from db_migrations order by 1" -c "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' order by 1, 2" | sha256sum
ss -Hlntu | awk '{print $1, $5}' | sort`

// A rehearsal tells how the upgrade will be, and nobody notices it.
func TestRehearse(t *testing.T) {
	s := fresh(t)
	made := create(t, s)
	was := s.Exec(t, live)
	var got rehearsal
	seen := s.Watched(t, func() {
		watching := make(chan string, 1)
		go func() {
			out, err := s.Machine.Exec(t.Context(), "bash", "-c", `
until systemctl is-active --quiet townsquare-rehearsal.service; do [ ! -e /run/rehearsed ] || exit 1; sleep 0.1; done
ss -Hlntu | awk '{print $1, $5}' | sort`)
			if err != nil {
				out = err.Error()
			}
			watching <- strings.TrimSpace(out)
		}()
		got = rehearse(t, s, stage.After, 0)
		s.Exec(t, "touch /run/rehearsed")
		if listens := <-watching; !strings.HasSuffix(was, "\n"+listens) {
			t.Errorf("while it ran, these listened on the host:\n%s\nand before:\n%s", listens, was)
		}
	})
	if seen.Failed > 0 {
		t.Errorf("%d visitors of %d saw an error: %v", seen.Failed, seen.Asked, seen.Wrong)
	}
	// The release is unpacked now, so that a plan can ask it, and changes nothing either.
	plan := s.Upgrade(t.Context(), "plan", "--to", stage.After).Must(t, 0, 10)
	if !strings.Contains(plan.Stdout, "migrations to run: 20, during the downtime, because of ") {
		t.Errorf("the plan does not say how the database is migrated, and why:\n%s", plan)
	}
	if is := s.Exec(t, live); is != was {
		t.Errorf("the rehearsal changed something:\nbefore:\n%s\nafter:\n%s", was, is)
	}
	clean(t, s)
	if got.Trial == nil || got.Outcome != "done" || got.Trial.Migrations == 0 || got.Trial.Asked == 0 || got.Trial.Failed > 0 {
		t.Fatalf("it says %+v", got)
	}
	if !strings.HasPrefix(got.Trial.Source, "backup "+made.Backup.ID) {
		t.Errorf("it was on %q, and the newest backup is %s", got.Trial.Source, made.Backup.ID)
	}
	// How near it comes is told, not wanted: the computer is busy with other tests.
	if tr := got.Trial; tr.Copying <= 0 || tr.Starting <= 0 || tr.Downtime < tr.Copying+tr.Starting/2 {
		t.Errorf("it foresees %+v", got.Trial)
	}
	real := s.Apply(t, stage.After, "2s").Downtime
	t.Logf("%v was foreseen, and it was %v", got.Trial.Downtime, real)
	s.Serves(t, stage.After)
	s.Exec(t, `grep -h '"made before the stop, while the old version serves: idx_posts_original_id"' /var/lib/townsquare/runs/*.jsonl`)
}

// What would not work is said beforehand, and comes nowhere near the users.
func TestRehearseFindsWhatBreaks(t *testing.T) {
	s := fresh(t)
	was := s.Exec(t, live)
	for _, c := range []struct{ kind, version string }{{"migrate-exit", "9.10.7"}} {
		square.Localcloud(t.Context(), "mirror", "publish", "--bad", c.kind).Must(t)
		if got := rehearse(t, s, c.version, 3); !strings.Contains(got.Error, "exited") {
			t.Errorf("%s: it says %+v", c.kind, got)
		}
		square.Localcloud(t.Context(), "mirror", "withdraw", c.version).Must(t)
		clean(t, s)
	}
	if is := s.Exec(t, live); is != was {
		t.Errorf("the rehearsals changed something:\nbefore:\n%s\nafter:\n%s", was, is)
	}
	if bad := s.Bad(t); len(bad) > 0 {
		t.Errorf("skipped from now on: %v", bad)
	}
	installFountain(t, s)
	if got := rehearse(t, s, stage.After, 3); got.Trial == nil || len(got.Trial.Plugins) != 1 || got.Trial.Plugins[0] != "org.townsquare.fountain" {
		t.Errorf("it says %+v", got)
	}
	s.Serves(t, stage.Before)
}

// Killed in the middle, a rehearsal leaves nothing either.
func TestRehearseKilled(t *testing.T) {
	s := fresh(t)
	was := s.Exec(t, live)
	// The new version goes on to be tried for longer than it takes to see it.
	p := s.StartUpgrade(t.Context(), "rehearse", "--json", "--watch", "1h", "--to", stage.After)
	p.Until(t, func() error {
		_, err := s.Machine.Exec(t.Context(), "systemctl", "is-active", "townsquare-rehearsal.service")
		return err
	})
	s.Exec(t, "systemctl kill --kill-whom=main --signal=KILL townsquare-upgrade.service")
	p.Wait()
	stage.Until(t, stage.Patience, func() error {
		if state := s.Exec(t, "systemctl is-active townsquare-upgrade.service || true"); state != "inactive" && state != "failed" {
			return errors.New("the run is " + state)
		}
		return nil
	})
	clean(t, s)
	if is := s.Exec(t, live); is != was {
		t.Errorf("the rehearsal changed something:\nbefore:\n%s\nafter:\n%s", was, is)
	}
}
