package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
)

// localCloud is a cloud on this computer, by its program: infra/localcloud is no part of this one.
type localCloud struct {
	program string
	name    string
}

// findLocalCloud looks for the program beside this one, then on the PATH, and asks it what else this
// computer must have.
func findLocalCloud(ctx context.Context, name string) (*localCloud, problem.List) {
	c := &localCloud{name: name}
	var err error
	if self, e := os.Executable(); e == nil && exists(filepath.Join(filepath.Dir(self), "localcloud")) {
		c.program = filepath.Join(filepath.Dir(self), "localcloud")
	} else if c.program, err = exec.LookPath("localcloud"); err != nil {
		return nil, problem.List{{Where: "localcloud", Found: "neither beside upgrade nor on the PATH", Allowed: "the local cloud's program",
			Hint: "in the source tree: go build -C infra/localcloud -o ../../bin/ ."}}
	}
	out, err := c.run(ctx, nil, "packages", "--missing")
	if err != nil {
		return nil, problem.List{{Where: c.program, Found: err.Error(), Allowed: "the local cloud's program"}}
	}
	var found problem.List
	for line := range strings.Lines(string(out)) {
		name, why, _ := strings.Cut(strings.TrimSpace(line), "\t")
		found = append(found, problem.Problem{Where: name, Found: "not installed", Allowed: "a package that " + why, Hint: "sudo apt install " + name})
	}
	return c, found
}

// run runs a command of the cloud's program and returns what it wrote to stdout. Ended by ctx, it has
// time to end what it began.
func (c *localCloud) run(ctx context.Context, stdin io.Reader, words ...string) ([]byte, error) {
	cmd := c.command(ctx, words...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = stdin, &out
	err := child(ctx, cmd, "localcloud "+words[0])
	var exit *host.ExitError
	if errors.As(err, &exit) { // not only its last line: it may be a list, as of packages
		err = fmt.Errorf("%s: %s", exit.Name, strings.TrimPrefix(strings.TrimSpace(exit.Stderr), "localcloud: "))
	}
	return out.Bytes(), err
}

func (c *localCloud) command(ctx context.Context, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.program, words...)
	cmd.Env = append(os.Environ(), "TOWNSQUARE_CLOUD="+c.name) // which --cloud is by default
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

// down removes the cloud, or what is left of one. A killed rehearsal's engine may still be at work
// there, and what it starts meanwhile goes the next time.
func (c *localCloud) down(ctx context.Context) (err error) {
	for range 3 {
		if _, err = c.run(ctx, nil, "down"); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(2 * time.Second)
	}
	return err
}

// machine is the name of the only machine.
func (c *localCloud) machine(ctx context.Context) (string, error) {
	out, err := c.run(ctx, nil, "machine", "list", "--json")
	if err != nil {
		return "", err
	}
	var list []struct{ Name string }
	if err := json.Unmarshal(out, &list); err != nil || len(list) != 1 {
		return "", fmt.Errorf("the local cloud should have one machine, and says %s", bytes.TrimSpace(out))
	}
	return list[0].Name, nil
}

// inMachine is the way to a machine of a local cloud: no network is between.
type inMachine struct {
	cloud *localCloud
	name  string
}

func (inMachine) close() {}

func (w inMachine) run(ctx context.Context, words []string, stdin io.Reader, stdout io.Writer) error {
	cmd := w.cloud.command(ctx, append([]string{"machine", "exec", w.name, "--", host.Upgrader, "host"}, words...)...)
	cmd.Stdin, cmd.Stdout = stdin, stdout
	cmd.WaitDelay = time.Second // what runs in the machine does not hear of it, and goes with the machine
	return child(ctx, cmd, "upgrade")
}

// bring waits for the machine's first boot, and puts this program there.
func (w inMachine) bring(ctx context.Context, build string) error {
	if _, err := w.cloud.run(ctx, nil, "machine", "wait", w.name); err != nil {
		return err
	}
	file, err := os.Open(build)
	if err != nil {
		return err
	}
	defer file.Close()
	// Only through a pipe: what runs in the machine cannot open a file of this computer's.
	_, err = w.cloud.run(ctx, io.MultiReader(file), "machine", "exec", w.name, "--", "install", "-D", "-m", "755", "/dev/stdin", host.Upgrader)
	return err
}
