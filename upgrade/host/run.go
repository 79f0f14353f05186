// Package host is the machine an upgrade runs on: its commands, files, units and lock, and the
// way to reach it over SSH. Everything but the SSH part runs on the host itself, as root.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Command is one program to run on this host. Secrets go in Stdin or, for the program's own
// process only, in Env; never in Args, which every local user can read.
type Command struct {
	Name   string
	Args   []string
	Dir    string
	Env    []string  // KEY=value, added to this process's environment
	User   string    // run as this user; empty means as ourselves
	Stdin  io.Reader // nil means no input
	Stdout io.Writer // nil means collected and returned by Run
}

// ExitError says that a program ended with a status other than 0, with all it wrote to stderr.
type ExitError struct {
	Name   string
	Code   int // -1 when a signal ended it
	Stderr string
}

func (e *ExitError) Error() string {
	text := cause(e.Stderr)
	if text == "" {
		return fmt.Sprintf("%s: exit status %d", e.Name, e.Code)
	}
	return fmt.Sprintf("%s: exit status %d: %s", e.Name, e.Code, text)
}

// Run runs the program and returns what it wrote to stdout, unless Stdout took it. Ending ctx ends
// the program: first by SIGTERM, after 5 s by SIGKILL. The error is an *ExitError when the program
// ran and failed. A program that found systemd away is run again, for up to 10 s.
func Run(ctx context.Context, c Command) ([]byte, error) {
	for deadline := time.Now().Add(systemdBack); ; {
		out, err := runOnce(ctx, c)
		if !systemdAway(c, err) || time.Now().After(deadline) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// systemdBack is how long systemd may take to execute itself anew, which it does under one second
// where nothing else wants the processor.
const systemdBack = 10 * time.Second

// systemdAway tells that systemd was away while it executed itself anew, as needrestart has it do when
// a library of its own was exchanged, and that the program may be run again: nobody listened at its
// socket, so that nothing was done, or the answer to a question was cut off.
func systemdAway(c Command, err error) bool {
	var exit *ExitError
	if c.Name != "systemctl" && c.Name != "systemd-run" || c.Stdin != nil || !errors.As(err, &exit) {
		return false
	}
	if strings.Contains(exit.Stderr, "Failed to connect to") && strings.Contains(exit.Stderr, "Connection refused") {
		return true
	}
	asks := c.Name == "systemctl" && len(c.Args) > 0 && slices.Contains([]string{"show", "list-units", "is-system-running"}, c.Args[0])
	return asks && (strings.Contains(exit.Stderr, "Transport endpoint is not connected") || strings.Contains(exit.Stderr, "Connection reset by peer"))
}

// Bounded is a buffer that keeps the first Most bytes of what is written to it.
type Bounded struct {
	Most int
	kept bytes.Buffer // not embedded: its ReadFrom, which io.Copy prefers, knows no bound
}

func (b *Bounded) Write(p []byte) (int, error) {
	_, _ = b.kept.Write(p[:min(len(p), b.Most-b.kept.Len())])
	return len(p), nil
}

// Bytes returns what was kept, until the next Write.
func (b *Bounded) Bytes() []byte { return b.kept.Bytes() }

func (b *Bounded) String() string { return b.kept.String() }

// Reset forgets what was kept.
func (b *Bounded) Reset() { b.kept.Reset() }

// MaxStderr is what is kept of the words of a program on another machine.
const MaxStderr = 64 << 10

func runOnce(ctx context.Context, c Command) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir, cmd.Stdin = c.Dir, c.Stdin
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if c.User != "" {
		credential, err := credentialOf(c.User)
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		return stdout.Bytes(), fmt.Errorf("%s: %w", c.program(), context.Cause(ctx))
	case errors.As(err, &exit):
		return stdout.Bytes(), &ExitError{Name: c.program(), Code: exit.ExitCode(), Stderr: stderr.String()}
	default:
		return nil, fmt.Errorf("run %s: %w", c.program(), err)
	}
}

// program names what is run in an error: behind nice, which is called as "nice -n 10 PROGRAM".
func (c Command) program() string {
	if c.Name == "nice" && len(c.Args) > 2 {
		return c.Args[2]
	}
	return c.Name
}

func credentialOf(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: uid %q: %w", name, u.Uid, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: gid %q: %w", name, u.Gid, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
