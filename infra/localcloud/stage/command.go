package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Result is what a program left behind.
type Result struct {
	Argv           []string
	Code           int // -1: it could not be started, or a signal ended it
	Stdout, Stderr string
	Took           time.Duration
}

func (r Result) String() string {
	return fmt.Sprintf("%s\nexit code %d after %v\nstdout:\n%sstderr:\n%s", strings.Join(r.Argv, " "), r.Code, r.Took, r.Stdout, r.Stderr)
}

// Must fails the test at once when the program did not end with one of the codes (none: 0).
func (r Result) Must(t testing.TB, codes ...int) Result {
	t.Helper()
	if len(codes) == 0 {
		codes = []int{0}
	}
	if !slices.Contains(codes, r.Code) {
		t.Fatalf("want exit code %v:\n%s", codes, r)
	}
	return r
}

// Into decodes what the program wrote to stdout.
func (r Result) Into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), v); err != nil {
		t.Fatalf("stdout is no JSON: %v\n%s", err, r)
	}
}

// Process is a program that runs.
type Process struct {
	cmd    *exec.Cmd
	result Result
	killed atomic.Bool
	ended  chan struct{}
}

// start starts a program, which is asked to end (SIGTERM) when ctx ends and killed 10 s after that.
func (s *Stage) start(ctx context.Context, argv ...string) *Process {
	began := time.Now()
	p := &Process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), ended: make(chan struct{})}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &stdout, &stderr
	err := p.cmd.Start()
	go func() {
		if err == nil {
			err = p.cmd.Wait()
		}
		p.result = Result{Argv: argv, Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(began)}
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			p.result.Code = exit.ExitCode()
		case err != nil:
			p.result.Code, p.result.Stderr = -1, p.result.Stderr+err.Error()+"\n"
		}
		s.transcript.add(p.result)
		close(p.ended)
	}()
	return p
}

// Signal sends the program a signal.
func (p *Process) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	must(t, p.cmd.Process.Signal(signal))
}

// Kill ends the program without a chance to say goodbye.
func (p *Process) Kill() {
	p.killed.Store(true)
	if p.cmd.Process != nil {
		p.cmd.Process.Kill()
	}
}

// Killed says whether Kill was called.
func (p *Process) Killed() bool { return p.killed.Load() }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits for the program's end.
func (p *Process) Wait() Result {
	<-p.ended
	return p.result
}

// transcript is all that any program of the stage wrote, for a search for secrets at its end.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) add(r Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(r.String())
}

// Transcript is all that the programs run so far wrote.
func (s *Stage) Transcript() string {
	s.transcript.mu.Lock()
	defer s.transcript.mu.Unlock()
	return s.transcript.text.String()
}
