package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// GoCommand is the go command of this machine.
type GoCommand struct {
	Path    string
	Version string // "go1.26.8"
}

// FindGo looks in PATH and then where Go's own instructions install it.
func FindGo(ctx context.Context) (GoCommand, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		path = "/usr/local/go/bin/go"
		if _, statErr := os.Stat(path); statErr != nil {
			return GoCommand{}, errors.New("no go command in PATH nor in /usr/local/go/bin: install Go 1.26 or newer")
		}
	}
	// Outside any module: a go.mod may name another toolchain, and its download is not wanted just for a name.
	cmd := exec.CommandContext(ctx, path, "env", "GOVERSION")
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return GoCommand{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	return GoCommand{Path: path, Version: strings.TrimSpace(string(out))}, nil
}

// command prepares `go args…` in dir. The result must not depend on who builds: the person's own GOFLAGS and
// workspace are left out, nothing may change go.mod or go.sum, no C compiler is used even where one is installed
// (so programs run on any libc), and no path of this machine gets into the binary.
func (g GoCommand) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.Path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -trimpath -buildvcs=false", "GOWORK=off",
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "PWD="+dir)
	// Interrupt lets go remove its temporary files; it is killed if it does not end.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Output runs `go args…` in dir and returns what it printed.
func (g GoCommand) Output(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := g.command(ctx, dir, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// networkTries is how often a build is started again when a download broke; what was downloaded and compiled
// before is in Go's own caches.
const networkTries = 3

// Build compiles every tool that module's go.mod names into bin. packages, if given, are built in their place.
func (g GoCommand) Build(ctx context.Context, module, bin string, flags []string, step *Step, packages ...string) error {
	if len(packages) == 0 {
		packages = []string{"tool"}
	}
	step.Status("looking at its dependencies")
	list, err := g.patiently(ctx, module, step, 0, append([]string{"list", "-deps"}, packages...)...)
	if err != nil {
		return err
	}
	step.Status("compiling")
	args := append([]string{"build", "-v", "-o", bin + string(filepath.Separator)}, flags...)
	_, err = g.patiently(ctx, module, step, strings.Count(list, "\n"), append(args, packages...)...)
	return err
}

// patiently runs `go args…` in module and returns what it printed; again if a download broke. The step's status
// follows it; total is how many packages it may compile.
func (g GoCommand) patiently(ctx context.Context, module string, step *Step, total int, args ...string) (string, error) {
	for try := 1; ; try++ {
		out, rest, err := watch(g.command(ctx, module, args...), step, total)
		if err == nil {
			return out, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if try == networkTries || !isNetworkTrouble(rest) {
			return "", fmt.Errorf("go %s in %s: %w\n%s", args[0], module, err, rest)
		}
		step.Status("a download broke, trying again")
	}
}

// watch runs a go command, turns its talk into the step's status, and returns its output and the lines of its talk
// that are neither a package nor a download: the reason, when it fails.
func watch(cmd *exec.Cmd, step *Step, total int) (out, rest string, err error) {
	var stdout strings.Builder
	cmd.Stdout = &stdout
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return "", "", err
	}
	if err := cmd.Start(); err != nil {
		return "", "", err
	}
	other := follow(pipe, step, total)
	err = cmd.Wait()
	return stdout.String(), strings.Join(other, "\n"), err
}

// follow reads the talk of `go build -v`. It keeps at most the last forty other lines.
func follow(r io.Reader, step *Step, total int) (other []string) {
	downloads, packages := 0, 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "go: downloading "):
			downloads++
			step.Status("downloaded %d modules", downloads)
		case isImportPath(line):
			packages++
			step.Status("compiled %d of at most %d packages, now %s", packages, total, line)
		default:
			other = append(other, line)
			if len(other) > 40 {
				other = other[1:]
			}
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line over the limit must not block go
	return other
}

// isImportPath tells `go build -v`'s package lines from messages: no message is without a space and a colon.
func isImportPath(line string) bool {
	return line != "" && !strings.ContainsAny(line, " :#\t")
}

// isNetworkTrouble says whether a message of the go command is about a connection rather than about the code.
func isNetworkTrouble(text string) bool {
	for _, sign := range []string{"dial tcp", "i/o timeout", "connection reset", "unexpected EOF", "TLS handshake timeout",
		"502 Bad Gateway", "503 Service", "504 Gateway", "stream error", "no such host"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
