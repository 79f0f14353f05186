//go:build machine

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// name is the test's own local cloud; a demo beside it is not touched.
const name = "test"

// programs is where scripts/test-machine.sh built localcloud and upgrade.
var programs = filepath.Join("..", "..", "..", "bin")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	if programs, err = filepath.Abs(programs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, program := range []string{"localcloud", "upgrade"} {
		if _, err := os.Stat(filepath.Join(programs, program)); err != nil {
			fmt.Fprintf(os.Stderr, "%v: type  make test-machine\n", err)
			return 1
		}
	}
	// Down first: a run that was killed may have left its cloud behind.
	for _, arguments := range [][]string{{"down"}, {"up"}, {"mirror", "publish", before, after, "--esr", "9.10"}} {
		argv := append([]string{filepath.Join(programs, "localcloud")}, arguments...)
		if r := command(ctx, append(argv, "--cloud", name)...); r.code != 0 {
			fmt.Fprint(os.Stderr, r)
			return 1
		}
	}
	defer func() {
		if os.Getenv("KEEP") != "" {
			return // left for a person to look at; the next run removes it
		}
		if r := command(context.Background(), filepath.Join(programs, "localcloud"), "down", "--cloud", name); r.code != 0 {
			fmt.Fprintf(os.Stderr, "localcloud down: %s", r)
		}
	}()
	return m.Run()
}
