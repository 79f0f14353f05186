package host

import (
	"strings"
	"testing"
)

// The short text of a failure has the line that names its cause, and not the end of a usage text.
func TestExitErrorNamesTheCause(t *testing.T) {
	long := strings.Repeat("LOCK TABLE public.posts, ", 100)
	for _, c := range []struct{ name, stderr, want string }{
		{"nothing", "", "x: exit status 1"},
		{"one line", "no such file\n", "x: exit status 1: no such file"},
		{"the last of several that name none", "looking\nno such file\n\n", "x: exit status 1: no such file"},
		{"a usage text after the error", `{"level":"info","msg":"starting"}
Error: failed to load configuration: invalid config: Minimum password length must be a whole number
Usage:
  mattermost db downgrade [flags]

Flags:
  -h, --help   help for downgrade

Global Flags:
  -c, --config string   Configuration file to use.
`, "x: exit status 1: Error: failed to load configuration: invalid config: Minimum password length must be a whole number"},
		{"a usage text alone", "Usage: ip [ OPTIONS ] OBJECT\n       ip -batch FILE\n", "x: exit status 1: ip -batch FILE"},
		{"what pg_dump was about to do", "pg_dump: error: query failed: ERROR:  permission denied for table bi_numbers\npg_dump: detail: Query was: " + long + "\n",
			"x: exit status 1: pg_dump: error: query failed: ERROR:  permission denied for table bi_numbers"},
		{"what PostgreSQL advises", "NOTICE:  x\nERROR:  template database \"chat\" has a collation version mismatch\nDETAIL:  The template database was created\nHINT:  Rebuild all objects\n",
			`x: exit status 1: ERROR:  template database "chat" has a collation version mismatch; hint: Rebuild all objects`},
		{"what pg_dump advises", "pg_dump: error: server version mismatch\npg_dump: hint: use a newer one\n", "x: exit status 1: pg_dump: error: server version mismatch; hint: use a newer one"},
		{"apt's first", "Reading…\nE: Unable to locate package x\nE: and so on\n", "x: exit status 1: E: Unable to locate package x"},
		{"a long one", "ERROR:  " + long, "x: exit status 1: " + ("ERROR:  " + long)[:causeBytes] + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (&ExitError{Name: "x", Code: 1, Stderr: c.stderr}).Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
