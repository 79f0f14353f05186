package ui

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/internal/golden"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
)

func TestMarkdown(t *testing.T) {
	done := report(phase.OutcomeDone, "", 0)
	done.Warnings = []string{"9.10 is supported until 2027-02-15"}
	bad := report(phase.OutcomeRolledBack, "start: <script>| @everyone [x](http://evil) `#1` hunter22\nmore (rolled back)", 4)
	plan := phase.Preview{From: "7.7.0", Target: "9.10.0", To: "9.10.0", Newer: true, Why: "9.10.0 is the newest release", EndOf: "2027-02-15",
		Steps: []phase.Step{{Title: "look at the host", Done: true}, {Title: "stop the service", What: "about 2 s"}}}
	refused := phase.Preview{From: "7.7.0", Target: "9.10.0", Error: "no room", Exit: 3,
		Problems: []problem.Problem{{Where: "disk /opt", Found: "1 GB free", Allowed: "at least 2 GB", Hint: "sudo apt clean"}}}
	results := []Result{
		{Stack: "canary", Canary: true, Report: &done}, {Stack: "a", Report: &bad, Exit: 4}, {Stack: "b", Held: "it went wrong on a"},
		{Stack: "c", Error: "no route to host", Hint: "try again", Exit: 1}, {Stack: "d", Plan: &plan, Exit: 10}, {Stack: "e", Plan: &refused, Exit: 3},
	}
	var out, errs bytes.Buffer
	p := printer(&out, &errs)
	p.redactor.Add("hunter22")
	p.Markdown, p.Outputs = filepath.Join(t.TempDir(), "summary"), filepath.Join(t.TempDir(), "outputs")
	if err := p.Keep(results, 4); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.Markdown)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "markdown.golden", string(text))
	for _, part := range []string{"hunter22", "<script>", "@everyone", "[x](http"} {
		if strings.Contains(string(text), part) {
			t.Errorf("has %q", part)
		}
	}
	if text, _ = os.ReadFile(p.Outputs); string(text) != "pending=9.10.0\nwaiting=\ndone=9.10.0\nexit=4\n" {
		t.Errorf("outputs are\n%s", text)
	}
	if err := p.Fleet(results, 4); err != nil {
		t.Fatal(err)
	}
	p.Close()
	golden.Check(t, "fleet.golden", "--- stdout\n"+out.String()+"--- stderr\n"+errs.String())
}
