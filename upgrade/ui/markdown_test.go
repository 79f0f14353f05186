package ui

import (
	"bytes"
	"errors"
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
		{Stack: "c", Target: "--stack c --identity /root/key", Named: "--stack c", Error: "no route to host", Hint: "upgrade check --stack c --identity /root/key", Exit: 1}, {Stack: "d", Plan: &plan, Exit: 10}, {Stack: "e", Plan: &refused, Exit: 3},
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

// Nothing becomes a value for scripts but versions, and nothing becomes a key.
func TestOutputsAreVersions(t *testing.T) {
	for _, evil := range []string{"9.10.0\ndone=6.6.6", "9/9/;e id", "$(id)", "`id`", "::set-output name=x::y", "v9.10.0", "9.10.0 6.6.6", "system x", strings.Repeat("9", 1<<20), "9.10.0\u202e", "\x1b[2J"} {
		plan := phase.Preview{From: evil, To: evil, Target: evil, Waiting: evil, Newer: true}
		run := phase.Report{Waiting: evil}
		run.Outcome, run.To = phase.OutcomeDone, evil
		if got := outputs([]Result{{Plan: &plan}, {Report: &run}}, 10); got != "pending=\nwaiting=\ndone=\nexit=10\n" {
			t.Errorf("%.40q: the outputs are %q", evil, got)
		}
	}
}

// What Markdown gives a meaning stays what it is, also behind a backslash of the server's.
func TestMarked(t *testing.T) {
	for text, want := range map[string]string{
		`\[x](a)`:             `&#92;\[x\](a)`,
		"~~~\nx":              `\~\~\~ x`,
		"https://a www.b":     "https&#58;//a www&#46;b",
		"$x$ #1 @all a\tb":    `\$x\$ \#1 &#64;all a b`,
		"\x1b[2J\u009b\u202e": `\[2J`,
	} {
		if got := marked(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// An error may have words of the other side in it, such as those with which an SSH server hangs up.
func TestErrorIsText(t *testing.T) {
	for _, machine := range []bool{false, true} {
		var out, errs bytes.Buffer
		p := printer(&out, &errs)
		p.JSON = machine
		p.Fail(errors.New("ssh: disconnect: \x1b[2J\u009b\u202e\n::set-output name=x::y"), 1)
		p.Hint("a\n::b\x1b")
		p.Close()
		for _, text := range []string{out.String(), errs.String()} {
			if strings.ContainsAny(text, "\x1b\u009b\u202e") || strings.Contains(text, "\n::") {
				t.Errorf("%q", text)
			}
		}
	}
}
