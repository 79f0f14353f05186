package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// What was changed by hand is told, and is never called late: it waits for a person.
func TestDriftIsTold(t *testing.T) {
	now := time.Now()
	waits := map[schedule.Kind]state.Pending{schedule.Drift: {What: "/etc/caddy/Caddyfile differs in 1 line", Since: now.AddDate(-1, 0, 0)}}
	m := foundMessage(phase.Preview{UpToDate: true}, waits, notify.Config{}, now)
	if m == nil || m.Urgent || m.Title != "This server is not as its stack says" || len(m.Facts) != 1 || m.Facts[0].Name != "Not as the stack says" {
		t.Errorf("alone: %+v", m)
	}
	waits[schedule.Upgrade] = state.Pending{What: "Mattermost 9.10.1", Since: now}
	if m := foundMessage(phase.Preview{}, waits, notify.Config{}, now); m == nil || m.Title != "Updates are available" || len(m.Facts) != 2 {
		t.Errorf("beside an update: %+v", m)
	}
	waits = map[schedule.Kind]state.Pending{schedule.Repository: {What: "backup repository s3:https://fra1.example.org/b: gone", Since: now}}
	if m := foundMessage(phase.Preview{UpToDate: true}, waits, notify.Config{}, now); m == nil || m.Title != "The backups cannot be reached" || len(m.Facts) != 1 {
		t.Errorf("no backups: %+v", m)
	}
	report := phase.Report{Finished: state.Finished{Operation: "repair", Outcome: phase.OutcomeDone, Repaired: []string{"caddy.service does not run"}}}
	if m := runMessage(report); m == nil || !strings.HasPrefix(m.Title, "Put back: 1 difference") {
		t.Errorf("a repair: %+v", m)
	}
}

// Late is what the host could do by itself and did not: not a larger step, and a security fix not
// before it was there.
func TestLate(t *testing.T) {
	now := time.Now()
	day := func(n int) time.Time { return now.AddDate(0, 0, -n).Add(-time.Hour) }
	for name, c := range map[string]struct {
		kind schedule.Kind
		p    state.Pending
		days string // in the title; empty: it is not late
	}{
		"a larger step with a fix":           {schedule.Larger, state.Pending{What: "Mattermost 12.0.2", Since: day(90), Security: day(90)}, ""},
		"a fix":                              {schedule.Upgrade, state.Pending{What: "Mattermost 11.7.11", Since: day(8), Security: day(8)}, "for 8 days"},
		"a fix since today":                  {schedule.System, state.Pending{What: "9 packages", Since: day(8), Security: day(0)}, ""},
		"a fix that was out before us":       {schedule.Upgrade, state.Pending{What: "Mattermost 11.7.11", Since: day(0), Security: day(20)}, ""},
		"a fix beside what waits for longer": {schedule.System, state.Pending{What: "9 packages", Since: day(12), Security: day(8)}, "for 8 days"},
		"anything for a month":               {schedule.System, state.Pending{What: "9 packages", Since: day(31), Security: day(0)}, "for 31 days"},
		"anything for a week":                {schedule.System, state.Pending{What: "9 packages", Since: day(8)}, ""},
	} {
		m := foundMessage(phase.Preview{}, map[schedule.Kind]state.Pending{c.kind: c.p}, notify.Config{}, now)
		if m == nil || m.Urgent != (c.days != "") || !strings.HasSuffix(m.Title, c.days) {
			t.Errorf("%s: %+v", name, m)
		}
	}
	m := foundMessage(phase.Preview{}, map[schedule.Kind]state.Pending{
		schedule.Upgrade: {What: "Mattermost 11.7.11", Since: now}, schedule.Larger: {What: "Mattermost 12.0.2", Since: now, Security: now}}, notify.Config{}, now)
	want := []notify.Fact{{Name: "Waits for a person", Value: "Mattermost 12.0.2 (security)"}, {Name: "Available", Value: "Mattermost 11.7.11"}}
	if m == nil || m.Title != "Updates are available" || !slices.Equal(m.Facts, want) {
		t.Errorf("both: %+v", m)
	}
}

// The same failure is told once, whatever its numbers are; another one, or the same after a success,
// is news.
func TestSameFailure(t *testing.T) {
	report := func(id, outcome, version, why string) *notify.Message {
		return runMessage(phase.Report{Finished: state.Finished{ID: id, Operation: "apply", From: "9.10.0", To: version, Outcome: outcome, Error: why}})
	}
	first := report("1", phase.OutcomeRolledBack, "9.10.1", "process 812 exited after 2.1s")
	for name, c := range map[string]struct {
		m    *notify.Message
		same bool
	}{
		"again":           {report("2", phase.OutcomeRolledBack, "9.10.1", "process 4011 exited after 3s"), true},
		"another version": {report("2", phase.OutcomeRolledBack, "9.10.2", "process 812 exited after 2.1s"), false},
		"another reason":  {report("2", phase.OutcomeRolledBack, "9.10.1", "it never answered"), false},
		"a success":       {report("2", phase.OutcomeDone, "9.10.1", ""), false},
	} {
		if c.m.Key != first.Key || (c.m.Same == first.Same) != c.same {
			t.Errorf("%s: %q, %q; first %q, %q", name, c.m.Key, c.m.Same, first.Key, first.Same)
		}
	}
}

// A restore is told as one, also of the version that served.
func TestRestoreIsTold(t *testing.T) {
	for outcome, want := range map[string]string{
		phase.OutcomeDone:       "Mattermost 7.7.0 is back as of 2026-12-01 03:03: 55 posts, 4 users, 2 attachments.",
		phase.OutcomeRolledBack: "The restore did not work: it exited",
	} {
		r := phase.Report{Finished: state.Finished{ID: "1", Operation: "restore", From: "7.7.0", To: "7.7.0", Outcome: outcome, Error: "it exited (rolled back)"},
			Backup: &phase.BackupReport{ID: "7d4486d3", Time: time.Date(2026, 12, 1, 3, 3, 0, 0, time.Local), Mattermost: "7.7.0", Posts: 55, Users: 4, Attachments: 2}}
		m := runMessage(r)
		if m == nil || m.Title != want {
			t.Errorf("%s: %+v", outcome, m)
			continue
		}
		if i := slices.IndexFunc(m.Facts, func(f notify.Fact) bool { return f.Name == "Version" }); i < 0 || m.Facts[i].Value != "7.7.0" {
			t.Errorf("%s: facts %+v", outcome, m.Facts)
		}
	}
}
