//go:build machine

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// result is what a program left behind.
type result struct {
	argv           []string
	code           int
	stdout, stderr string
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("%s\nexit code %d after %v\nstdout:\n%sstderr:\n%s", strings.Join(r.argv, " "), r.code, r.took, r.stdout, r.stderr)
}

// command runs a program to its end, which comes 10 s after SIGTERM when ctx ends.
func command(ctx context.Context, argv ...string) result {
	start := time.Now()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := result{argv: argv, stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		r.code, r.stderr = -1, r.stderr+err.Error()+"\n"
	}
	transcript.add(r)
	return r
}

// transcript is all that any program of this run wrote, for the search for secrets at its end.
var transcript log

type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) add(r result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(r.String())
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func localcloud(t *testing.T, argv ...string) result {
	t.Helper()
	return command(t.Context(), append([]string{filepath.Join(programs, "localcloud")}, argv...)...)
}

// must fails the test at once when the program did not end with one of the codes (none: 0).
func (r result) must(t *testing.T, codes ...int) result {
	t.Helper()
	if len(codes) == 0 {
		codes = []int{0}
	}
	for _, code := range codes {
		if r.code == code {
			return r
		}
	}
	t.Fatalf("want exit code %v:\n%s", codes, r)
	return r
}

// into decodes what the program wrote to stdout.
func (r result) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), v); err != nil {
		t.Fatalf("stdout is no JSON: %v\n%s", err, r)
	}
}
