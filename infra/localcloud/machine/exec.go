package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// ExecError is a program that failed inside a machine.
type ExecError struct {
	Machine string
	Program string // without arguments: they may hold secrets
	Code    int    // exit code; -1: killed by a signal
	Stderr  string
}

func (e *ExecError) Error() string {
	last := strings.TrimSpace(e.Stderr)
	if n := strings.LastIndexByte(last, '\n'); n >= 0 {
		last = last[n+1:]
	}
	return fmt.Sprintf("%s on machine %s: exit code %d: %s", e.Program, e.Machine, e.Code, last)
}

// Exec runs a program as root inside the running machine and returns what it
// wrote to standard output, also when it fails; a program that fails is an
// *ExecError.
func (m *Machine) Exec(ctx context.Context, argv ...string) (string, error) {
	return m.ExecInput(ctx, nil, argv...)
}

// ExecInput is Exec with standard input.
func (m *Machine) ExecInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error) {
	cmd, err := m.Command(ctx, argv...)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout.String(), &ExecError{Machine: m.Spec.Name, Program: argv[0], Code: exit.ExitCode(), Stderr: stderr.String()}
	}
	return stdout.String(), err
}

// Command prepares a program to run as root inside the running machine, with a
// clean environment, in /root.
func (m *Machine) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, errors.New("no program named")
	}
	run, err := m.readRunning()
	if err != nil {
		return nil, err
	}
	groups, err := findCgroups(m.cgroupName())
	if err != nil {
		return nil, err
	}
	// Into the machine's control groups first: what it uses counts as the
	// machine's, and it ends when the plug is pulled.
	args := append([]string{"-c", enterGroups, "localcloud"}, groups.visitors()...)
	args = append(args, "--",
		"--target", strconv.Itoa(run.Leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--",
		"/usr/bin/env", "-i", "-C", "/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=xterm")
	return exec.CommandContext(ctx, "sh", append(args, argv...)...), nil
}

// enterGroups takes files to write itself to, then "--", then nsenter's
// arguments.
const enterGroups = `while [ "$1" != -- ]; do echo 0 2>/dev/null >"$1" || :; shift; done; shift; exec nsenter "$@"`
