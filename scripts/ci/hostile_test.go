package ci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// hostile are values that a server which was taken over could send, if the program let it. Each that is run
// as a program, or as a part of one, leaves a mark.
var hostile = []string{
	"9.10.0\ndone=6.6.6", "9.10.0\nPATH=/evil", "9.10.0\nx<<EOF\ny\nEOF", "9/9/;etouch${IFS}$MARK;#", "9/;w $MARK", "$(touch $MARK)", "`touch $MARK`", "9.10.0;touch $MARK",
	"a[$(touch $MARK)]", "::set-output name=pending::6.6.6", "9.10.0\n::set-output name=pending::6.6.6", "%0A::warning::6.6.6", "9.10.0\n##[set-output name=x;]6.6.6", "--help", "-n", "*", "../../etc/passwd",
	"9.10.0\x1b[2J", "9.10.0\u009b2J", "9.10.0\u202e", "9.10.0\r", "9.10", "v9.10.0", "9.10.0-rc1", strings.Repeat("9", 100_000), "9.10.0|6.6.6", "9.10.0 6.6.6;e id", "<script>", "@everyone",
}

// whole is what a line of the outputs may be.
var whole = regexp.MustCompile(`^((pending|waiting|done)=((system|[0-9]+\.[0-9]+\.[0-9]+)( (system|[0-9]+\.[0-9]+\.[0-9]+))*)?|exit=[0-9]+)$`)

// hostileRun runs a script and looks at what came of it.
func hostileRun(t *testing.T, script string, code int, env ...string) result {
	t.Helper()
	mark := filepath.Join(t.TempDir(), "mark")
	r := run(t, script, append(env, "MARK="+mark)...)
	if _, err := os.Stat(mark); err == nil {
		t.Error("the value was run")
	}
	if code >= 0 && r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for line := range strings.Lines(r.outputs) {
		if !whole.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("the outputs have the line %.80q", line)
		}
	}
	if strings.Contains(r.outputs, "6.6.6") {
		t.Errorf("the outputs have what the server added: %s", r.outputs)
	}
	for line := range strings.Lines(obeyed(t, r.stdout)) {
		if !regexp.MustCompile(`^::(add-mask|warning|error|notice)::`).MatchString(line) || strings.HasPrefix(line, "::warning::6.6.6") {
			t.Errorf("the runner obeys %.80q", line)
		}
	}
	for line := range strings.Lines(r.summary) {
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\u009b\r") {
			t.Errorf("the summary has a control character in %.80q", line)
		}
		for _, part := range []string{"set-output", "<script>", "@everyone", "$(touch", "`touch", "##["} {
			code := strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "- `") && strings.Count(line, "`") <= 4
			if strings.Contains(line, part) && !code {
				t.Errorf("the summary has %.80q", line)
			}
		}
	}
	return r
}

// obeyed is what GitHub's runner takes for commands in a log: nothing between stop-commands and its token.
func obeyed(t *testing.T, log string) string {
	t.Helper()
	var found strings.Builder
	token, seen := "", map[string]bool{}
	for line := range strings.Lines(log) {
		text := strings.TrimSpace(line)
		switch next, stops := strings.CutPrefix(text, "::stop-commands::"); {
		case token != "":
			if text == "::"+token+"::" {
				token = ""
			}
		case stops:
			if len(next) < 20 {
				t.Errorf("the token %q can be guessed", next)
			}
			token, seen[next] = next, true
		case strings.HasPrefix(text, "::") || strings.Contains(text, "##["):
			found.WriteString(line)
		}
	}
	if len(seen) > 1 {
		t.Errorf("several tokens: %v", seen)
	}
	return found.String()
}

// Whatever the program hands over as a version, no script runs it, prints it as a command or passes it on.
func TestHostileOutputs(t *testing.T) {
	for _, script := range []string{"ci/check.sh", "ci/upgrade.sh", "ci/os.sh"} {
		for i, value := range hostile {
			key := []string{"PENDING", "WAITING", "DONE"}[i%3]
			if script == "ci/check.sh" {
				key = "PENDING" // which it works with
			}
			t.Run(fmt.Sprintf("%s %s %d", script, key, i), func(t *testing.T) {
				t.Parallel()
				r := hostileRun(t, script, 1, "GITHUB_ACTIONS=true", "CODE=0", key+"="+value)
				r.wants(t, 1, "::error::")
				if strings.Contains(r.notes, "gh issue") || strings.Contains(r.notes, "upgrade plan") {
					t.Errorf("it went on:\n%s", r.notes)
				}
			})
		}
	}
	// What went wrong on a server stays the exit code.
	hostileRun(t, "ci/upgrade.sh", 5, "CODE=5", "DONE=x\ny=z")
	hostileRun(t, "ci/upgrade.sh", 1, "CODE=10", "DONE=x\ny=z")
}

// What the program and Pulumi print is not for GitHub's runner to obey, and is in the summary as text.
func TestHostileWords(t *testing.T) {
	words := strings.Join(hostile, "\n")
	var said strings.Builder
	for _, value := range append(hostile, words) {
		fmt.Fprintf(&said, "%[1]s\n ~  a:b:C %[1]s update [diff: ~%[1]s]\n ~  a:b:C x update [diff: ~`%[1]s`]\n", value)
	}
	dir := t.TempDir()
	pulumi := filepath.Join(dir, "pulumi")
	if err := errors.Join(os.WriteFile(pulumi, []byte("#!/bin/sh\ncat "+dir+"/said\nexit $CODE\n"), 0o755), os.WriteFile(dir+"/said", []byte(said.String()), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"ci/check.sh", "ci/upgrade.sh", "ci/os.sh", "ci/drift.sh", "ci/preview.sh"} {
		for _, code := range []string{"0", "10", "1"} {
			t.Run(script+" exit code "+code, func(t *testing.T) {
				t.Parallel()
				hostileRun(t, script, -1, "GITHUB_ACTIONS=true", "CODE="+code, "PRINTS="+words, "TOWNSQUARE_PULUMI="+pulumi, "PR_NUMBER=7;touch $MARK")
			})
		}
	}
}

// What a person or another system hands over as a setting is looked at, too.
func TestHostileSettings(t *testing.T) {
	for _, value := range hostile {
		for _, setting := range []string{"TOWNSQUARE_VERSION", "TOWNSQUARE_WATCH"} {
			r := hostileRun(t, "ci/upgrade.sh", 2, "GITHUB_ACTIONS=true", setting+"="+value)
			if strings.Contains(r.notes, "upgrade apply") {
				t.Errorf("%s=%.40q: %s", setting, value, r.notes)
			}
		}
	}
}
