// Package stage is what tests on real machines play on: a local cloud with a server that the real
// Pulumi engine made, Mattermost 7.7.0 on it and people writing there. It is built once a process;
// each test gets it rewound to that moment, in a few seconds, under the same address and keys.
//
//	var square = stage.New("safety")
//
//	func TestMain(m *testing.M) { os.Exit(square.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		s := square.Fresh(t)
//		s.Upgrade(t.Context(), "apply", "--yes", "--watch", "5s", "--to", stage.After).Must(t)
//		s.Serves(t, stage.After)
//	}
package stage

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"townsquare/infra/localcloud/network"
)

// The releases of the play, as the mirror has them.
const (
	Before = "7.7.0"
	After  = "9.10.0"
	Patch  = "9.10.1" // the same code as After, stamped anew: no migrations
)

// Variables of the environment, for whoever works on the tests.
const (
	// CloudVariable overrides the cloud's name, so that two people can run the same tests.
	CloudVariable = "TOWNSQUARE_TEST_CLOUD"
	// KeepVariable, when set, leaves the cloud up at the end. The next run with it goes on there,
	// and saves the minute that it takes to build.
	KeepVariable = "KEEP"
	// AllVariable, when set, runs all cases of the longest tables; otherwise those that are Due.
	AllVariable = "ALL"
)

// Due reports whether it is the turn of case number i of a long table: every other one, by the date.
func Due(i int) bool { return os.Getenv(AllVariable) != "" || (i+time.Now().YearDay())%2 == 0 }

// Stage is one local cloud.
type Stage struct {
	name       string
	root       string // of the source tree, for Pulumi's project and the programs
	transcript transcript
	before     scene // of Fresh
	after      scene // of Upgraded
}

// New names a stage's cloud: at most 16 lower-case letters and digits.
func New(name string) *Stage {
	if other := os.Getenv(CloudVariable); other != "" {
		name = other
	}
	return &Stage{name: name}
}

// Beside is another stage, to play on at the same time: with n = 2, the cloud test2 beside test.
func (s *Stage) Beside(n int) *Stage { return &Stage{name: fmt.Sprintf("%s%d", s.name, n)} }

// Name is the cloud's.
func (s *Stage) Name() string { return s.name }

// Root is the directory of the source tree.
func (s *Stage) Root() string { return s.root }

// Program is the path of one of the programs that scripts/test-machine.sh built.
func (s *Stage) Program(name string) string { return filepath.Join(s.root, "bin", name) }

// Main runs a package's tests in the cloud, which it puts up before and takes down after them. The
// result is the process's exit code.
func (s *Stage) Main(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := s.Up(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer DownOnSignal(ctx, s)()
	defer func() {
		if err := s.Down(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return m.Run()
}

// DownOnSignal ends the process when ctx ends, after it took the stages down: go test itself does not
// hear of a signal that somebody listens to. The function that it returns calls it off.
func DownOnSignal(ctx context.Context, stages ...*Stage) (callOff func() bool) {
	return context.AfterFunc(ctx, func() {
		for _, s := range stages {
			if err := s.Down(context.WithoutCancel(ctx)); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		os.Exit(130)
	})
}

// Up puts the cloud up, with Before and After on its mirror. What a killed run left is removed
// first.
func (s *Stage) Up(ctx context.Context) (err error) {
	if s.root == "" {
		if s.root, err = findRoot(); err != nil {
			return err
		}
	}
	for _, program := range []string{"localcloud", "upgrade"} {
		if _, err := os.Stat(s.Program(program)); err != nil {
			return fmt.Errorf("%w: type  make test-machine", err)
		}
	}
	if !keep() {
		if err := s.Down(ctx); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{{"up"}, append([]string{"mirror"}, repertoire()...)} {
		if r := s.Localcloud(ctx, argv...); r.Code != 0 {
			return fmt.Errorf("%s", r)
		}
	}
	return nil
}

// Down removes the cloud and all that is in it; one that is kept is only switched off.
func (s *Stage) Down(ctx context.Context) error {
	if keep() {
		if m, err := s.findMachine(); err == nil {
			return m.Kill(ctx)
		}
		return nil
	}
	if r := s.Localcloud(ctx, "down"); r.Code != 0 {
		return fmt.Errorf("%s", r)
	}
	return nil
}

func keep() bool { return os.Getenv(KeepVariable) != "" }

// repertoire is what the mirror has when a test begins.
func repertoire() []string {
	return []string{"publish", "--only", Before, After, "--esr", "9.10"}
}

// findRoot looks for the source tree from the working directory upwards: a test's is its package's.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "Pulumi.yaml")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no Pulumi.yaml in %s or above it", dir)
		}
	}
}

// Cloud is the cloud's network and directory.
func (s *Stage) Cloud() (*network.Cloud, error) { return network.Open(s.name) }

// Localcloud runs `localcloud ARGUMENTS` for this cloud.
func (s *Stage) Localcloud(ctx context.Context, arguments ...string) Result {
	argv := append([]string{s.Program("localcloud")}, arguments...)
	return s.start(ctx, append(argv, "--cloud", s.name)...).Wait()
}
