//go:build machine

package safety

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/stage"
)

// way is what `upgrade rollback --show --json` says of one.
type way struct {
	Way   string         `json:"way"`
	Keeps bool           `json:"keeps"`
	Loses map[string]int `json:"loses"`
}

// ways asks what would be lost on each way back.
func ways(t *testing.T, s *stage.Server) map[string]way {
	t.Helper()
	var plan struct{ Ways []way }
	s.Upgrade(t.Context(), "rollback", "--show", "--json").Must(t).Into(t, &plan)
	all := map[string]way{}
	for _, w := range plan.Ways {
		all[w.Way] = w
	}
	return all
}

// write lets somebody write for a while, and gives what the server has taken.
func write(t *testing.T, s *stage.Server) community.Ledger {
	t.Helper()
	w := s.Admin().Write(t.Context(), s.People.Channels[0].ID)
	time.Sleep(2500 * time.Millisecond)
	l := w.End()
	if len(l.Posts) == 0 || len(l.Files) == 0 {
		t.Fatalf("nothing was written: %+v", l)
	}
	return l
}

func rollback(t *testing.T, s *stage.Server, way string, codes ...int) stage.Report {
	t.Helper()
	r := s.Upgrade(t.Context(), "rollback", "--json", "--yes", "--watch", "2s", "--way", way)
	r.Must(t, codes...)
	var got stage.Report
	r.Into(t, &got)
	t.Logf("rollback --way %s: exit code %d, %s, down %v, %v in all", way, r.Code, got.Outcome, got.Downtime.Round(time.Millisecond), r.Took.Round(100*time.Millisecond))
	return got
}

// traces are what a trial on a copy must not leave.
const traces = `systemctl list-units --all --no-legend townsquare-rehearsal.service; ls /run/netns /opt/townsquare 2>/dev/null | grep rehearsal || true
runuser -u postgres -- psql -XAtqc "select datname from pg_database where datname like '%scratch%'"`

func clean(t *testing.T, s *stage.Server) {
	t.Helper()
	if left := s.Exec(t, traces); left != "" {
		t.Errorf("left of the trial: %s", left)
	}
}

// What people wrote on the newer version, for however long, is there on the older one; and no
// scheduled upgrade goes back to the version that a person left.
func TestRollbackKeepsWhatWasWritten(t *testing.T) {
	s := upgraded(t)
	since := write(t, s)
	if w := ways(t, s)["downgrade"]; !w.Keeps || len(w.Loses) > 0 {
		t.Errorf("the way is %+v", w)
	}
	s.Watched(t, func() {
		if got := rollback(t, s, "downgrade"); got.From != stage.After || got.To != stage.Before || got.Outcome != "done" {
			t.Errorf("report is %+v", got)
		}
	})
	s.Serves(t, stage.Before)
	if lost := since.Lost(t.Context(), s.Admin()); len(lost) > 0 {
		t.Errorf("written on %s and gone: %v", stage.After, lost)
	}
	clean(t, s)

	s.Exec(t, "echo 'window: daily 00:00-24:00' >>/etc/townsquare/upgrade.yaml")
	s.Upgrade(t.Context(), "apply", "--unattended").Must(t)
	s.Serves(t, stage.Before)
	if r := s.Upgrade(t.Context(), "apply", "--json", "--yes", "--to", stage.After).Must(t, 3); !strings.Contains(r.Stdout, "rolled back by hand") || !strings.Contains(r.Stdout, "--retry-failed") {
		t.Errorf("apply does not say why, or what to type:\n%s", r)
	}
	if h := s.Record(t).History; h[len(h)-1].From != stage.After || h[len(h)-1].To != stage.Before {
		t.Errorf("the history ends with %+v", h[len(h)-1])
	}
	// The way back is used up.
	s.Upgrade(t.Context(), "rollback", "--show", "--json").Must(t, 3)
}

// The copy from before the upgrade loses what it says, nothing else, and not for good.
func TestRollbackLosesWhatItSays(t *testing.T) {
	s := upgraded(t)
	since := write(t, s)
	said := ways(t, s)["checkpoint"]
	if said.Keeps || said.Loses["posts"] != len(since.Posts) || said.Loses["fileinfo"] != len(since.Files) {
		t.Errorf("%d posts and %d files were written since; it says %+v", len(since.Posts), len(since.Files), said)
	}
	// Nothing that loses is gone by --yes alone.
	s.Upgrade(t.Context(), "rollback", "--yes").Must(t, 2)
	s.Serves(t, stage.After)

	if got := rollback(t, s, "checkpoint"); got.To != stage.Before || got.Outcome != "done" {
		t.Errorf("report is %+v", got)
	}
	s.Serves(t, stage.Before)
	for _, p := range since.Posts {
		if lost := (community.Ledger{Posts: []community.Post{p}}).Lost(t.Context(), s.Admin()); len(lost) == 0 {
			t.Errorf("post %s was said to be lost, and is there", p.ID)
		}
	}
	kept := s.Exec(t, `for name in $(runuser -u postgres -- psql -XAtqc "select datname from pg_database where datname like 'mattermost_%'"); do
		runuser -u postgres -- psql -XAtq -d $name -c "select count(*) from posts where message like 'Written meanwhile%'"; done`)
	if kept != fmt.Sprint(len(since.Posts)) {
		t.Errorf("kept aside are %q posts, of %d", kept, len(since.Posts))
	}
	clean(t, s)
}

// A patch without migrations is left by the link alone; there is nothing to choose and nothing to lose.
func TestRollbackOfAPatch(t *testing.T) {
	s := upgraded(t)
	square.Localcloud(t.Context(), "mirror", "publish", stage.Patch).Must(t)
	s.Apply(t, stage.Patch, "2s")
	since := write(t, s)
	all := ways(t, s)
	if _, copied := all["checkpoint"]; copied || !all["downgrade"].Keeps {
		t.Errorf("the ways are %+v", all)
	}
	s.Watched(t, func() {
		if got := rollback(t, s, "downgrade"); got.To != stage.After {
			t.Errorf("report is %+v", got)
		}
	})
	s.Serves(t, stage.After)
	if lost := since.Lost(t.Context(), s.Admin()); len(lost) > 0 {
		t.Error(lost)
	}
}

// The backup that the upgrade began with is a way back, too, with all that it lacks counted before;
// also when nothing else is left of the old version. And then it is a server like any other.
func TestRollbackByBackup(t *testing.T) {
	s := upgraded(t)
	since := write(t, s)
	s.Exec(t, "rm -r /opt/townsquare/versions/"+stage.Before+"*")
	found := false
	for name, w := range ways(t, s) {
		if strings.HasPrefix(name, "backup=") {
			found = true
			if w.Keeps || w.Loses["posts"] < len(since.Posts) {
				t.Errorf("%d posts were written since; it says %+v", len(since.Posts), w)
			}
		}
	}
	if !found {
		t.Fatal("no backup is offered")
	}
	if got := rollback(t, s, "backup"); got.To != stage.Before || got.Outcome != "done" {
		t.Errorf("report is %+v", got)
	}
	s.Serves(t, stage.Before)
	s.Upgrade(t.Context(), "apply", "--json", "--yes", "--to", stage.After).Must(t, 3)
	s.Upgrade(t.Context(), "apply", "--json", "--yes", "--watch", "2s", "--to", stage.After, "--retry-failed").Must(t)
	s.Serves(t, stage.After)
}

// Killed in the middle, a rollback ends on one of the two versions, with everything that was written.
func TestRollbackKilled(t *testing.T) {
	for i, c := range []struct {
		name, way string
		at        stage.Point
		cut       bool // pull the plug instead of killing the upgrader
	}{
		{"while the database goes back", "downgrade", stage.Point{Step: "rollback-database", Saves: 1, Delay: 50 * time.Millisecond}, false},
		{"and the power with it, on the old database", "checkpoint", stage.Point{Step: "start"}, true},
	} {
		if !stage.Due(i) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := upgraded(t)
			since := write(t, s)
			// A power cut takes uploads that are still in memory, of any server: this is about the rest.
			s.Exec(t, "sync --file-system /var/lib/mattermost")
			p := s.Hold(t, c.at, func(_ *stage.Process, pid int) {
				if c.cut {
					s.Kill(t)
				} else {
					signal(t, pid, unix.SIGKILL)
				}
			}, "rollback", "--json", "--yes", "--watch", "2s", "--way", c.way)
			if c.cut {
				s.Start(t)
			}
			if err := s.Await(t.Context(), stage.Patience, stage.Before, stage.After); err != nil {
				t.Fatal(err)
			}
			p.Wait()
			// Any command finds nothing left to do, or does it.
			s.Upgrade(t.Context(), "status", "--json").Must(t, 0, 13)
			version, err := s.Client().Version(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Serves(t, version)
			if lost := since.Lost(t.Context(), s.Admin()); len(lost) > 0 {
				t.Errorf("on %s: %v", version, lost)
			}
			record := s.Record(t)
			if record.Run != nil {
				t.Errorf("the run is still in the record: %v", record.Run)
			}
			clean(t, s)
			if c.way == "downgrade" && version == stage.After { // and then it goes all the same
				rollback(t, s, c.way)
				s.Serves(t, stage.Before)
			}
		})
	}
}
