// Package runner runs Townsquare's own Pulumi program against a local cloud: with the real engine,
// the file backend, and the cloud's provider in place of DigitalOcean's.
package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optdestroy"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optrefresh"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/provider"
	"townsquare/infra/localcloud/provider/local"
)

// Options say which stack of which cloud to run.
type Options struct {
	Cloud   *network.Cloud
	Stack   string
	Source  string         // folder with Pulumi.yaml and Pulumi.STACK.yaml; never written to
	Program pulumi.RunFunc // what `pulumi up` runs
	Plugin  string         // program that is the provider when called by the provider's name
	Set     map[string]any // configuration on top of the stack's file, by key with namespace
	Cache   *build.Cache
	Color   string    // always or never
	Output  io.Writer // what the engine says while it works
}

// Stack is one stack of a cloud, ready to be worked on by this process alone.
type Stack struct {
	options Options
	place   place
	project workspace.Project
	stack   auto.Stack
	lock    *os.File
}

// Changes are how many resources an operation did what with: same, create, update, replace, delete.
type Changes map[string]int

// Open prepares a stack: its directory and secrets, its configuration, its engine, which is built
// where there is none. It waits for another process that works on the cloud's stacks.
func Open(ctx context.Context, options Options) (s *Stack, err error) {
	s = &Stack{options: options, place: place{options.Cloud}}
	if err := s.place.prepare(); err != nil {
		return nil, err
	}
	if s.lock, err = exclusive(filepath.Join(s.place.project(), "lock")); err != nil {
		return nil, err
	}
	lock := s.lock
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := s.place.offer(options.Plugin); err != nil {
		return nil, fmt.Errorf("offer the provider: %w", err)
	}
	if s.project, err = options.project(s.place); err != nil {
		return nil, err
	}
	settings, err := options.settings(s.place, &s.project)
	if err != nil {
		return nil, err
	}
	command, err := engine(ctx, options.Cache)
	if err != nil {
		return nil, err
	}
	s.stack, err = auto.UpsertStackInlineSource(ctx, options.Stack, string(s.project.Name), options.Program,
		auto.Pulumi(command), auto.WorkDir(s.place.project()), auto.Project(s.project),
		auto.Stacks(map[string]workspace.ProjectStack{options.Stack: settings}),
		auto.EnvVars(Environment(options.Cloud)), auto.SecretsProvider("passphrase"))
	if err != nil {
		return nil, fmt.Errorf("open stack %s: %w", options.Stack, err)
	}
	if err := s.setSecrets(ctx, settings); err != nil {
		return nil, err
	}
	return s, s.repair(ctx)
}

// Close lets other processes work on the cloud's stacks.
func (s *Stack) Close() error { return s.lock.Close() }

// Up makes the cloud what the program says. More are options such as optup.Refresh.
func (s *Stack) Up(ctx context.Context, more ...optup.Option) (Changes, error) {
	result, err := s.stack.Up(ctx, append(more, optup.ProgressStreams(s.options.Output), optup.ErrorProgressStreams(s.options.Output),
		optup.Color(s.options.Color), optup.SuppressOutputs())...)
	if err != nil {
		return nil, failed("up", err)
	}
	return changesOf(result.Summary.ResourceChanges), nil
}

// Refresh brings the record in line with what is there: what is gone is made anew by the next Up.
func (s *Stack) Refresh(ctx context.Context) (Changes, error) {
	result, err := s.stack.Refresh(ctx, optrefresh.ProgressStreams(s.options.Output), optrefresh.ErrorProgressStreams(s.options.Output),
		optrefresh.Color(s.options.Color))
	if err != nil {
		return nil, failed("refresh", err)
	}
	return changesOf(result.Summary.ResourceChanges), nil
}

// Preview says what Up would do, and does nothing. More are options such as optpreview.Refresh.
func (s *Stack) Preview(ctx context.Context, more ...optpreview.Option) (Changes, error) {
	result, err := s.stack.Preview(ctx, append(more, optpreview.ProgressStreams(s.options.Output), optpreview.ErrorProgressStreams(s.options.Output),
		optpreview.Color(s.options.Color), optpreview.SuppressOutputs())...)
	if err != nil {
		return nil, failed("preview", err)
	}
	changes := Changes{}
	for operation, count := range result.ChangeSummary {
		changes[string(operation)] = count
	}
	return changes, nil
}

// Destroy removes all that the stack has, and the stack. What the program protects is only removed
// with unprotect, which is for clouds whose data nobody needs.
func (s *Stack) Destroy(ctx context.Context, unprotect bool) (Changes, error) {
	if unprotect {
		if err := s.pulumi(ctx, nil, "state", "unprotect", "--all", "--yes", "--stack", s.options.Stack); err != nil {
			return nil, err
		}
	}
	result, err := s.stack.Destroy(ctx, optdestroy.ProgressStreams(s.options.Output), optdestroy.ErrorProgressStreams(s.options.Output),
		optdestroy.Color(s.options.Color), optdestroy.SuppressOutputs(), optdestroy.Remove())
	if err != nil {
		return nil, failed("destroy", err)
	}
	return changesOf(result.Summary.ResourceChanges), nil
}

// Outputs are the stack's outputs; secret ones only with show.
func (s *Stack) Outputs(ctx context.Context, show bool) (map[string]any, error) {
	outputs, err := s.stack.Outputs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read outputs: %w", err)
	}
	values := make(map[string]any, len(outputs))
	for name, output := range outputs {
		values[name] = output.Value
		if output.Secret && !show {
			values[name] = "[secret]"
		}
	}
	return values, nil
}

// pulumi runs one command of the engine in the stack's directory.
func (s *Stack) pulumi(ctx context.Context, input io.Reader, args ...string) error {
	var environment []string
	for name, value := range Environment(s.options.Cloud) {
		environment = append(environment, name+"="+value)
	}
	_, stderr, _, err := s.stack.Workspace().PulumiCommand().Run(ctx, s.place.project(), input, nil, nil, environment, args...)
	if err != nil {
		return fmt.Errorf("pulumi %s %s: %w: %s", args[0], args[1], err, stderr)
	}
	return nil
}

// repair clears up after an engine that was killed. Only this process works on the cloud's stacks
// now, so no lock is anybody's, and nothing is still being made.
func (s *Stack) repair(ctx context.Context) error {
	locks, err := filepath.Glob(filepath.Join(s.place.backend(), ".pulumi", "locks", "organization", string(s.project.Name), s.options.Stack, "*.json"))
	if err != nil {
		return err
	}
	if len(locks) > 0 {
		if err := s.pulumi(ctx, nil, "cancel", s.options.Stack, "--yes"); err != nil {
			return err
		}
	}
	deployment, err := s.stack.Export(ctx)
	if err != nil {
		return fmt.Errorf("read the stack's state: %w", err)
	}
	state := map[string]json.RawMessage{}
	if err := json.Unmarshal(deployment.Deployment, &state); err != nil {
		return fmt.Errorf("read the stack's state: %w", err)
	}
	if _, begun := state["pending_operations"]; !begun {
		return nil
	}
	if err := provider.Sweep(ctx, &provider.Cloud{Name: s.options.Cloud.Name, Open: local.Open}); err != nil {
		return fmt.Errorf("remove what an interrupted run has left: %w", err)
	}
	delete(state, "pending_operations")
	if deployment.Deployment, err = json.Marshal(state); err != nil {
		return err
	}
	return s.stack.Import(ctx, deployment)
}

// exclusive waits until no other process holds the file, and holds it until it is closed.
func exclusive(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

func changesOf(summary *map[string]int) Changes {
	if summary == nil {
		return Changes{}
	}
	return *summary
}

// failed shortens the engine's error: everything it said has been on Output already.
func failed(operation string, err error) error {
	if auto.IsConcurrentUpdateError(err) {
		return fmt.Errorf("pulumi %s: another process is working on this stack: %w", operation, err)
	}
	return fmt.Errorf("pulumi %s: see above: %w", operation, errEngine)
}

var errEngine = errors.New("the engine ended in error")
