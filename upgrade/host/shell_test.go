package host

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// loginShells are those of the kinds that people have which are installed here; sh always is.
func loginShells() []string {
	var found []string
	for _, name := range []string{"sh", "dash", "bash", "zsh", "fish", "tcsh", "csh"} {
		if _, err := exec.LookPath(name); err == nil {
			found = append(found, name)
		}
	}
	return found
}

// greet has every login shell print before its command, to both sides.
func (s *sshServer) greet(t *testing.T) {
	t.Helper()
	for name, text := range map[string]string{
		".bashrc": "echo Welcome to chat01; echo stty: no terminal >&2\n", ".zshenv": "echo Welcome; echo stty: no terminal >&2\n",
		".cshrc": "echo Welcome\n", ".config/fish/config.fish": "echo Welcome; echo stty: no terminal >&2\n",
	} {
		path := filepath.Join(s.home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoginShells(t *testing.T) {
	hard := []string{"it's", `"$HOME"`, "a b", "`id`", "", "a\nb", "-n", `back\slash\\`, `end\`, "!!", "grün", "%s", "*", "~", "#", "{a,b}", "[x]"}
	for _, shell := range loginShells() {
		t.Run(shell, func(t *testing.T) {
			s := serve(t)
			s.shell = shell
			s.greet(t)
			s.program(t, "sudo", `shift 2; exec "$@"`)
			s.program(t, "id", `[ "$1" = -u ] && echo 1000`)
			conn := dial(t, s)
			var out bytes.Buffer
			if err := conn.Run(t.Context(), AsRoot(append([]string{"printf", "<%s>"}, hard...)...), nil, &out); err != nil {
				t.Fatal(err)
			}
			if want := "<" + strings.Join(hard, "><") + ">"; out.String() != want {
				t.Errorf("got %q, want %q", out.String(), want)
			}
			out.Reset()
			if err := conn.Run(t.Context(), "cat", strings.NewReader(`{"json":true}`), &out); err != nil || out.String() != `{"json":true}` {
				t.Errorf("stdin became %q, %v", out.String(), err)
			}
			err := conn.Run(t.Context(), "echo error: no >&2; exit 11", nil, nil)
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Code != 11 || exit.Stderr != "error: no\n" {
				t.Errorf("error is %+v", err)
			}
			facts, err := conn.Probe(t.Context())
			if err != nil || facts.OS != "linux" || !facts.Root {
				t.Errorf("it looks like %+v, %v", facts, err)
			}
		})
	}
}

// fish and csh, which may not be installed here, read some characters even within single quotes.
func TestLoginLineHasNothingForAShell(t *testing.T) {
	line := loginLine("a'b\"c\\d$e`f!g\nh\ti\x7fgrün")
	inner, ok := strings.CutPrefix(line, "exec sh -c '")
	inner, ok2 := strings.CutSuffix(inner, "'")
	if !ok || !ok2 || strings.ContainsAny(inner, "'!`\n\t\x7f") || strings.Contains(inner, `\\`) || strings.Contains(inner, "ü") {
		t.Errorf("the line is %q", line)
	}
	if n := strings.Count(inner, "$"); n != 1 { // the one that has printf called
		t.Errorf("%d dollars in %q", n, line)
	}
}

func TestShellThatRunsNothing(t *testing.T) {
	for said, script := range map[string]string{
		"This account is currently not available.": "echo This account is currently not available.; exit 1",
		"ok":        "echo ok",
		"forbidden": "echo forbidden >&2; exit 254",
	} {
		s := serve(t)
		s.program(t, "limited", script)
		s.shell = filepath.Join(s.bin, "limited")
		_, _, err := s.waiter(t).Reach(t.Context())
		var shell *ShellError
		if !errors.As(err, &shell) || shell.Said != said || !strings.Contains(shell.Hint(), "ssh -p ") {
			t.Errorf("it is %v", err)
		}
	}
}

// waiter has patience, and fails the test where it needs any.
func (s *sshServer) waiter(t *testing.T) Waiter {
	t.Helper()
	return Waiter{Limit: time.Hour, Dial: s.dial, Waiting: func(what string) { t.Errorf("it waits: %s", what) }}
}

func TestOneSessionAtATime(t *testing.T) {
	s := serve(t)
	s.single = true
	conn := dial(t, s)
	for range 5 {
		if err := conn.Run(t.Context(), "true", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if s.logins != 1 {
		t.Errorf("%d logins", s.logins)
	}
}
