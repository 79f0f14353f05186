package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/internal/golden"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
)

func printer(out, errs *bytes.Buffer) *Printer {
	p := New(out, errs, func(string) string { return "" }, &secret.Redactor{})
	p.Target = "--stack prod"
	return p
}

var began = time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)

func report(outcome, err string, exit int) phase.Report {
	return phase.Report{Exit: exit, Finished: state.Finished{ID: "20261122T010203Z-apply", Operation: "apply", From: "7.7.0", To: "9.10.0",
		Started: began, Ended: began.Add(83 * time.Second), Outcome: outcome, Error: err, Downtime: 2080 * time.Millisecond,
		Phases: []state.PhaseTime{{Title: "download and unpack", Took: 12 * time.Second}, {Title: "stop the service", Took: 230 * time.Millisecond}}}}
}

func TestReports(t *testing.T) {
	first := report(phase.OutcomeDone, "", 0)
	first.From, first.Downtime = "", 0
	refused := phase.Report{Exit: 3, Problems: problem.List{{Where: "disk /opt", Found: "1 GB free", Allowed: "at least 2 GB", Hint: "sudo apt clean"}}}
	refused.Outcome, refused.To = phase.OutcomeRefused, "9.10.0"
	upToDate := phase.Report{UpToDate: true, Why: "9.10.0 is the newest that track esr offers", Warnings: []string{"9.10 is supported until 2027-02-15"}}
	upToDate.Outcome, upToDate.From = phase.OutcomeDone, "9.10.0"
	bad := report(phase.OutcomeRolledBack, "start the new version: the server exited (rolled back)", 4)
	bad.Skipped = true
	down := report(phase.OutcomeNotRolledBack, "boom; and putting back failed: no space left", 5)
	down.Down = true
	for name, r := range map[string]phase.Report{
		"report-done": report(phase.OutcomeDone, "", 0), "report-first": first, "report-refused": refused, "report-up-to-date": upToDate,
		"report-rolled-back": bad, "report-failed": report(phase.OutcomeFailed, "no route to host", 1),
		"report-not-rolled-back": down,
		"report-interrupted":     report(phase.OutcomeInterrupted, "interrupted", 130),
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			p := printer(&out, &errs)
			if err := p.Report(r); err != nil {
				t.Fatal(err)
			}
			p.Close()
			golden.Check(t, name+".golden", "--- stdout\n"+out.String()+"--- stderr\n"+errs.String())

			out.Reset()
			p.JSON = true
			if err := p.Report(r); err != nil {
				t.Fatal(err)
			}
			var back phase.Report
			if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Outcome != r.Outcome || back.Exit != r.Exit {
				t.Errorf("as JSON: %v, %s", err, out.String())
			}
		})
	}
}

func TestPlansAndChecks(t *testing.T) {
	plan := phase.Preview{From: "7.7.0", To: "9.10.0", Target: "10.11.4", Path: []string{"9.10.0"}, Newer: true, Security: true,
		EndOf: "2027-05-15", Why: "10.11.4 is the newest ESR", Warnings: []string{"support for 7.7 has ended"},
		Steps: []phase.Step{{Title: "look at the host", Done: true}, {Title: "stop the service", What: "mattermost.service"}}}
	var out, errs bytes.Buffer
	p := printer(&out, &errs)
	if err := errors.Join(p.Check(plan), p.Plan(plan)); err != nil {
		t.Fatal(err)
	}
	p.Close()
	golden.Check(t, "plan.golden", "--- stdout\n"+out.String()+"--- stderr\n"+errs.String())
}

func TestEventsInPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		p := printer(&out, &errs)
		for _, e := range []phase.Event{
			{Kind: phase.Begin, Phase: "download"},
			{Kind: phase.Progress, Phase: "download", Done: 1e6, Total: 4e6, Unit: "bytes"},
		} {
			p.Event(e)
		}
		time.Sleep(11 * time.Second)
		for _, e := range []phase.Event{
			{Kind: phase.Progress, Phase: "download", Done: 3e6, Total: 4e6, Unit: "bytes"},
			{Kind: phase.Progress, Phase: "download", Done: 4e6, Total: 4e6, Unit: "bytes"},
			{Kind: phase.End, Phase: "download", Took: 11 * time.Second},
			{Kind: phase.Note, Text: "20 migrations to run"},
			{Kind: phase.DownStart},
			{Kind: phase.Begin, Phase: "start"},
			{Kind: phase.Failed, Phase: "start", Text: "the server exited\nwith a stack trace", Took: time.Second},
			{Kind: phase.Undoing, Phase: "swap"},
			{Kind: phase.Undone, Phase: "swap", Took: 1500 * time.Microsecond},
			{Kind: phase.DownEnd, Took: 75 * time.Second},
			{Kind: phase.Warn, Text: "the disk is nearly full"},
			{Kind: phase.Result},
		} {
			p.Event(e)
		}
		p.Close()
		golden.Check(t, "events.golden", errs.String())
		if out.Len() > 0 || strings.Contains(errs.String(), "\x1b") || strings.Contains(errs.String(), "\r") {
			t.Errorf("stdout %q, stderr %q", out.String(), errs.String())
		}
	})
}

// On a terminal a bar and the downtime clock move, and leave nothing behind.
func TestMovingLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to bytes.Buffer
		s := newScreen(&to, func() int { return 100 })
		s.begin("download")
		s.progress(1_000_000, 4_000_000, "bytes")
		time.Sleep(250 * time.Millisecond)
		if last := lastDrawn(&to); !strings.Contains(last, "download") || !strings.Contains(last, "25%") {
			t.Errorf("drawn %q", last)
		}
		s.begin("start the new version")
		s.clock(time.Now())
		time.Sleep(3250 * time.Millisecond)
		if last := lastDrawn(&to); !strings.Contains(last, "downtime 3.2 s") && !strings.Contains(last, "downtime 3.1 s") {
			t.Errorf("drawn %q", last)
		}
		s.above(func() { to.WriteString("a note\n") })
		s.clear()
		if !strings.HasSuffix(to.String(), "\r\x1b[K") {
			t.Errorf("left %q", lastDrawn(&to))
		}
		n := to.Len()
		time.Sleep(time.Second)
		if to.Len() != n {
			t.Error("still moves")
		}
	})
}

func lastDrawn(b *bytes.Buffer) string {
	parts := strings.Split(b.String(), "\r\x1b[K")
	return parts[len(parts)-1]
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		420 * time.Millisecond: "0.42 s", 12340 * time.Millisecond: "12.3 s", 80 * time.Second: "1 min 20 s", 59 * time.Second: "59.0 s",
		3 * time.Hour: "3 h 0 min", 0: "0.00 s",
	} {
		if got := Took(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestHistoryAndStatus(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	var out, errs bytes.Buffer
	p := printer(&out, &errs)
	done, failed := report(phase.OutcomeDone, "", 0).Finished, report(phase.OutcomeRolledBack, "the server exited", 4).Finished
	status := Status{Host: "203.0.113.7", Installed: true, Version: "9.10.0", Edition: "team", Path: "/opt/townsquare/versions/9.10.0-team",
		URL: "https://chat.example.org", Service: "active", Up: 26 * time.Hour, Healthy: true, Track: "esr", Previous: "7.7.0",
		Bad: map[string]state.Bad{"9.10.6": {Since: began, Reason: "the server exited"}}, History: []state.Finished{failed, done}}
	if err := errors.Join(p.History([]state.Finished{done, failed}), p.History(nil), p.Status(status), p.Status(Status{Booting: true}),
		p.Status(Status{Host: "h"}), p.Status(Status{Running: "20261201T000000Z-apply", Installed: true, Version: "9.10.0"}),
		p.Status(Status{Running: "20261201T000000Z-backup", Installed: true, Healthy: true, Version: "9.10.0", System: &phase.OSFacts{}, Exit: phase.ExitAttention,
			Pending: map[schedule.Kind]state.Pending{schedule.System: {What: "3 packages: openssl"}, schedule.Upgrade: {What: "Mattermost 9.10.1", Since: began}},
			Drift:   []drift.Difference{{Name: "caddy.service", Found: "does not run"}, {Name: "/etc/x", Found: "was added", Left: "unmanaged"}},
			Attention: []Attention{{What: "caddy.service does not run", Hint: "upgrade repair"}, {What: "the firewall is off", Hint: "upgrade repair"},
				{What: "no backup was made from this server yet", Hint: "upgrade backup create"}}})); err != nil {
		t.Fatal(err)
	}
	p.Close()
	golden.Check(t, "status.golden", "--- stdout\n"+out.String()+"--- stderr\n"+errs.String())
}
