package ui

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
)

func TestRepaired(t *testing.T) {
	left := drift.Difference{Name: "the account mallory", Found: "was added", Left: "unmanaged", Hint: "sudo deluser mallory"}
	say := func(what func(p *Printer) error) (string, string) {
		var out, talk bytes.Buffer
		p := New(&out, &talk, func(string) string { return "" }, &secret.Redactor{})
		p.Target = "--stack prod"
		if err := what(p); err != nil {
			t.Fatal(err)
		}
		p.Close()
		return out.String(), talk.String()
	}
	out, hints := say(func(p *Printer) error {
		return p.DriftOnly(phase.Preview{Exit: phase.ExitAvailable, Drift: []drift.Difference{left, {Name: "/etc/caddy/Caddyfile", Found: "differs in 1 line",
			Lines: "--- on the server\n+++ as the stack says\n@@ -1,2 +1 @@\n ok\n-by hand\n"}}})
	})
	want := `Not as the stack says:
  /etc/caddy/Caddyfile differs in 1 line
      @@ -1,2 +1 @@
       ok
      -by hand
Not the stack's, and left as it is:
  the account mallory was added (unmanaged)
    sudo deluser mallory
`
	if diff := cmp.Diff(want, out); diff != "" || !strings.Contains(hints, "upgrade repair") {
		t.Errorf("(-want +got):\n%s\n%s", diff, hints)
	}
	left.Risk, left.Hint = "a second account with root's rights", "upgrade repair --remove-keys …"
	out, hints = say(func(p *Printer) error {
		return p.DriftOnly(phase.Preview{Exit: phase.ExitAvailable, Drift: []drift.Difference{left}})
	})
	if strings.Contains(hints, "upgrade repair") || !strings.Contains(out, "RISK: a second account") {
		t.Errorf("a repair would change nothing: %s%s", out, hints)
	}
	if !strings.Contains(out, "    upgrade repair --remove-keys --stack prod\n") {
		t.Errorf("the hint does not name the server: %s", out)
	}
	for want, r := range map[string]phase.Report{
		"The server is as its stack says. Nothing was changed.":             {UpToDate: true},
		"There is nothing to repair. Nothing was changed.":                  {UpToDate: true, Drift: []drift.Difference{left}},
		"Put back: 1 difference.\n  caddy.service does not run\n":           {Finished: state.Finished{Outcome: phase.OutcomeDone, Repaired: []string{"caddy.service does not run"}}},
		"It did not work, and files are as they were: /etc/x does not hold": {Finished: state.Finished{Outcome: phase.OutcomeFailed, Error: "/etc/x does not hold"}},
	} {
		if out, _ := say(func(p *Printer) error { return p.Repaired(r) }); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
