package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// Each thing that an operator should do something about is named, with what to type, and nothing else is.
func TestAttention(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	pending := func(kind schedule.Kind, what string, days int) func(*ui.Status) {
		return func(s *ui.Status) {
			s.Pending = map[schedule.Kind]state.Pending{kind: {What: what, Since: now.AddDate(0, 0, -days)}}
		}
	}
	ended := func(outcome string) func(*ui.Status) {
		return func(s *ui.Status) {
			s.History = []state.Finished{{ID: "r", Outcome: outcome, Error: "it hung\nfor long"}}
		}
	}
	differs := func(d drift.Difference) func(*ui.Status) {
		return func(s *ui.Status) { s.Drift = []drift.Difference{d} }
	}
	timer := host.TimerStatus{Name: "townsquare-backup", Service: "townsquare-backup.service", Title: "back up", Wanted: true, Enabled: true, Active: true, Next: now}
	off, failed := timer, timer
	off.Active, failed.Failed = false, true
	for name, c := range map[string]struct {
		is   func(*ui.Status)
		want string // id: what: what to type; empty: nothing
	}{
		"nothing":         {func(*ui.Status) {}, ""},
		"left unfinished": {func(s *ui.Status) { s.Unfinished = "r" }, "unfinished-run: run r was left unfinished, as by a power cut: recover"},
		"in progress":     {func(s *ui.Status) { s.Unfinished, s.Running = "r", "r" }, ""},
		"rolled back":     {ended(phase.OutcomeRolledBack), "failed-run: the last run (r) failed: it hung: history"},
		"cancelled":       {ended(phase.OutcomeInterrupted), ""},
		"went well":       {ended(phase.OutcomeDone), ""},
		"firewall off":    {differs(drift.Difference{Name: "the firewall", Found: "is off"}), "drift: the firewall is off: repair"},
		"root may log in": {differs(drift.Difference{Name: "sshd's setting PermitRootLogin", Found: "is yes, not no", Left: "yours", Risk: "root can log in over SSH", Hint: "grep"}),
			"risk: root can log in over SSH: sshd's setting PermitRootLogin is yes, not no: grep"},
		"unmanaged":   {differs(drift.Difference{Name: "/etc/x", Found: "was added", Left: "yours"}), ""},
		"timer is on": {func(s *ui.Status) { s.Timers = []host.TimerStatus{timer} }, ""},
		"timer is off": {func(s *ui.Status) { s.Timers = []host.TimerStatus{off} },
			"timer: townsquare-backup.timer is stopped: timers enable"},
		"timer failed": {func(s *ui.Status) { s.Timers = []host.TimerStatus{failed} },
			"unattended-run: back up: the last unattended run failed: sudo journalctl -u townsquare-backup.service -n 50"},
		"end of life": {pending(schedule.Unsupported, "7.7.0 reached end of life on 2023-04-15", 0), "unsupported: 7.7.0 reached end of life on 2023-04-15: check"},
		"skipped":     {pending(schedule.Held, "9.10.0 is skipped (x)", 90), "held: 9.10.0 is skipped (x): check"},
		"repository": {pending(schedule.Repository, "backup repository s3:https://fra1.example.org/b: no answer within 45 seconds", 1),
			"repository: backup repository s3:https://fra1.example.org/b: no answer within 45 seconds (since 2026-11-30 12:00:00): backup list"},
		"update":           {pending(schedule.Upgrade, "Mattermost 9.10.1", 3), ""},
		"update, long ago": {pending(schedule.Upgrade, "Mattermost 9.10.1", 31), "late: updates have waited for 31 days: check --all"},
		"larger step":      {pending(schedule.Larger, "Mattermost 10.0.0", 90), ""},
		"untold":           {func(s *ui.Status) { s.Untold = &notify.Failure{Since: now, Error: "webhook: 500"} }, "notifications: notifications have not arrived since 2026-12-01 12:00:00: webhook: 500: notify test"},
		"unheard": {func(s *ui.Status) {
			s.Unheard = map[string]*notify.Failure{notify.BeatBackup: {Since: now, Error: "404 Not Found"}}
		}, "heartbeat: the heartbeat of the backup has not reached the monitoring service since 2026-12-01 12:00:00: 404 Not Found: notify test"},
	} {
		t.Run(name, func(t *testing.T) {
			s := ui.Status{Installed: true, Healthy: true}
			c.is(&s)
			var got []string
			for _, one := range attention(&s, &state.State{}, state.Backups{}, now) {
				got = append(got, one.ID+": "+one.What+": "+one.Command+one.Hint)
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A backup in progress hides neither the version nor what is wrong with it.
func TestQuietRuns(t *testing.T) {
	for run, want := range map[string]bool{"": true, "20261201T000000Z-backup": true, "20261201T000000Z-apply": false, "20261201T000000Z-rollback": false} {
		if quiet(run) != want {
			t.Errorf("%s: %v", run, !want)
		}
	}
}

// What is installed now, or skipped, waits for nothing.
func TestSettled(t *testing.T) {
	waits := func() map[schedule.Kind]state.Pending {
		return map[schedule.Kind]state.Pending{schedule.Larger: {What: "Mattermost 9.10.0"}, schedule.System: {What: "3 packages"}}
	}
	skip := map[string]string{"9.10.0": "x"}
	for name, c := range map[string]struct {
		record state.State
		skip   map[string]string
		left   int
	}{
		"waits":          {state.State{}, nil, 2},
		"being applied":  {state.State{Run: &state.Run{To: "9.10.0"}}, nil, 1},
		"failed here":    {state.State{Bad: map[string]state.Bad{"9.10.0": {}}}, nil, 1},
		"skipped":        {state.State{}, skip, 1},
		"another failed": {state.State{Bad: map[string]state.Bad{"9.9.0": {}}}, nil, 2},
	} {
		now := waits()
		if settled(now, &c.record, c.skip); len(now) != c.left {
			t.Errorf("%s: %v", name, now)
		}
	}
}

// The exit code tells a server that is healthy from one that needs attention, and that from one that fails.
func TestStatusExit(t *testing.T) {
	wrong, look := problem.List{{Where: "Mattermost", Found: "no answer"}}, []ui.Attention{{What: "a timer is off"}}
	for name, c := range map[string]struct {
		is   ui.Status
		want int
	}{
		"healthy":             {ui.Status{}, phase.ExitDone},
		"needs attention":     {ui.Status{Attention: look}, phase.ExitAttention},
		"fails":               {ui.Status{Problems: wrong, Attention: look}, phase.ExitError},
		"between versions":    {ui.Status{Problems: wrong, Running: "20261201T000000Z-apply"}, phase.ExitDone},
		"fails in a backup":   {ui.Status{Problems: wrong, Running: "20261201T000000Z-backup"}, phase.ExitError},
		"attention in a run":  {ui.Status{Attention: look, Running: "20261201T000000Z-backup"}, phase.ExitAttention},
		"attention, and more": {ui.Status{Attention: append(look, look...)}, phase.ExitAttention},
	} {
		if got := statusExit(c.is); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// What needs attention is listed with what to type. (No Mattermost is on this computer, hence the exit code.)
func TestStatusNeedsAttention(t *testing.T) {
	h := newFakeHost(t)
	writeConfig(t, h, "timers: true\n")
	wants(t, h.upgrade(t.Context(), "timers", "enable"), 0)
	h.enabled["townsquare-os.timer"], h.enabled["townsquare-check.timer"] = false, false
	wants(t, h.upgrade(t.Context(), "status"), phase.ExitError, "Needs attention:\n  townsquare-check.timer is switched off\n"+
		"  townsquare-os.timer is switched off\n    upgrade timers enable --local\n")
}

// A scheduled check looks at the backups' repository, and status repeats what it found until it opens.
func TestStatusKnowsALostRepository(t *testing.T) {
	h := newFakeHost(t)
	h.silent = "backup repository s3:https://fra1.example.org/b: the repository that was there is gone"
	h.upgrade(t.Context(), "check", "--unattended")
	wants(t, h.upgrade(t.Context(), "status"), phase.ExitError, "Needs attention:\n  "+h.silent+" (since ", "    upgrade backup list --local\n")
	h.silent = ""
	h.upgrade(t.Context(), "check", "--unattended")
	if got := h.upgrade(t.Context(), "status"); strings.Contains(got.stdout, "repository") {
		t.Errorf("it opens again:\n%s", got.stdout)
	}
}

// A server told to restore with --replace says that its database is lost, and which one it uses now.
func TestReplaceSaysWhichDatabase(t *testing.T) {
	h, root := &server{}, t.TempDir()
	h.root = root
	for path, text := range map[string]string{
		state.EnvFile:           "MM_SQLSETTINGS_DATASOURCE=postgres://mattermost:secret@127.0.0.1:1/mattermost\n",
		"/opt/mattermost/bin/x": "",
	} {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	r := request{Operation: "restore", Delivery: host.Delivery{DatabaseURL: "postgres://mattermost:secret@new.example.org:25060/mattermost"}}
	if _, err := h.deliver(r); err == nil {
		t.Error("without --replace it is accepted")
	}
	r.Replace = true
	notices, err := h.deliver(r)
	want := "the database 127.0.0.1:1/mattermost does not answer; the server now uses the stack's, new.example.org:25060/mattermost"
	if err != nil || len(notices) != 1 || notices[0] != want {
		t.Errorf("%q, %v", notices, err)
	}
}
