package ui

import (
	"bytes"
	"strings"
	"testing"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/secret"
)

// Every hint can be pasted as it stands: it names the server, keeps the flags that were given, and leads
// to the command that was typed.
func TestHintsCanBePasted(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(*Printer)
		want string
	}{
		"names the server": {func(p *Printer) { p.Hint("see them: upgrade backup list …") },
			"see them: upgrade backup list --stack prod"},
		"in the middle": {func(p *Printer) { p.Hint("upgrade backup verify … && echo well") },
			"upgrade backup verify --stack prod && echo well"},
		"of a problem": {func(p *Printer) { p.Fail(problem.List{{Where: "backup", Hint: "upgrade backup list …"}}, 1) },
			"upgrade backup list --stack prod"},
		"a plan does not lead to an apply": {func(p *Printer) {
			_ = p.Plan(phase.Preview{Error: "skipped", Problems: problem.List{{Where: "9.10.0", Hint: "--to 9.10.0 --retry-failed"}}})
		}, "upgrade plan --to 9.10.0 --retry-failed --stack prod"},
		"a plan keeps what was given": {func(p *Printer) { _ = p.Plan(phase.Preview{From: "7.7.0", To: "9.10.0"}) },
			"do it: upgrade apply --to 9.10.0 --retry-failed --stack prod"},
		"a refusal keeps what was given": {func(p *Printer) { _ = p.Report(ended("apply", phase.OutcomeRefused)) },
			"upgrade plan --to 9.10.0 --retry-failed --stack prod"},
		"a rollback does not lead to an upgrade": {func(p *Printer) {
			p.Given = "--way downgrade"
			_ = p.Report(ended("rollback", phase.OutcomeInterrupted))
		},
			"try again: upgrade rollback --way downgrade --stack prod"},
		"a rehearsal keeps what was given": {func(p *Printer) { _ = p.Rehearsed(ended("rehearse", phase.OutcomeDone)) },
			"do it: upgrade apply --to 9.10.0 --retry-failed --stack prod"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			p := New(&stdout, &stderr, func(string) string { return "" }, &secret.Redactor{})
			p.Asked, p.Target, p.Given = "upgrade plan", "--stack prod", "--to 9.10.0 --retry-failed"
			c.say(p)
			p.Close()
			if got := stdout.String() + stderr.String(); !strings.Contains(got, c.want+"\n") || strings.Contains(got, "…") {
				t.Errorf("want %q in:\n%s", c.want, got)
			}
		})
	}
}

func ended(operation, outcome string) phase.Report {
	r := phase.Report{}
	r.ID, r.Operation, r.Outcome, r.From, r.To = "20261122T010000Z-"+operation, operation, outcome, "7.7.0", "9.10.0"
	return r
}
