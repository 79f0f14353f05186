package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"

	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/provider/local"
)

// minimumEngine is the oldest Pulumi that the program is known to run on.
var minimumEngine = semver.MustParse("3.253.0")

// patience is how long an interrupted engine may finish what it has begun. The Automation API's own
// 10 s are less than a machine takes to boot: it would be killed, and leave the machine behind.
const patience = 5 * time.Minute

// command runs the engine as the Automation API does, but with patience.
type command struct {
	auto.PulumiCommand // for its version
	path               string
}

// Run runs one command of the engine. Ending ctx interrupts it as Ctrl-C does.
func (c command) Run(ctx context.Context, dir string, input io.Reader, outputs, errorOutputs []io.Writer, environment []string, args ...string) (string, string, int, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.path, append([]string{"--non-interactive"}, args...)...)
	cmd.Dir, cmd.Stdin = dir, input
	cmd.Stdout, cmd.Stderr = io.MultiWriter(append(outputs, &stdout)...), io.MultiWriter(append(errorOutputs, &stderr)...)
	// The engine looks for its language plug-in in PATH, and has it beside itself.
	path := filepath.Dir(c.path) + string(os.PathListSeparator) + os.Getenv("PATH")
	cmd.Env = append(append(os.Environ(), environment...), "PULUMI_AUTOMATION_API=true", "PATH="+path)
	// In a group of its own, so that a Ctrl-C of the terminal does not reach it twice.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	err := cmd.Run()
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), err
}

// engine is the Pulumi of this computer where it is new enough, else the one in the cache, which is
// built where it is missing.
func engine(ctx context.Context, cache *build.Cache) (auto.PulumiCommand, error) {
	options := auto.PulumiCommandOptions{Version: minimumEngine}
	if path, err := exec.LookPath("pulumi"); err == nil {
		if found, err := auto.NewPulumiCommand(&options); err == nil {
			return command{found, path}, nil
		}
	}
	path, err := build.Pulumi().Get(ctx, cache)
	if err != nil {
		return nil, err
	}
	options.Root = filepath.Dir(filepath.Dir(path))
	built, err := auto.NewPulumiCommand(&options)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return command{built, path}, nil
}

// offer puts this program where the engine looks for the provider: under the provider's name it is
// the provider.
func (p place) offer(program string) error {
	link := filepath.Join(p.plugins(), local.PluginName)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(program, link)
}
