//go:build machine

package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// lanes is how many cases run at a time, each in a cloud of its own: most of a case is waiting. The
// variable FAULTS_LANES says otherwise.
const lanes = 3

// program is what TestMain makes for the tests.
type program struct {
	stages chan *stage.Stage // those that are free
	report *report
}

var play = program{report: &report{}}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	lanes := lanes
	if n, err := strconv.Atoi(os.Getenv("FAULTS_LANES")); err == nil && n > 0 {
		lanes = n
	}
	play.stages = make(chan *stage.Stage, lanes)
	if err := flag.Set("test.parallel", strconv.Itoa(lanes)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	first := stage.New("faults")
	all := []*stage.Stage{first}
	for n := 2; n <= lanes; n++ {
		all = append(all, first.Beside(n))
	}
	var wait sync.WaitGroup
	errs := make([]error, len(all))
	for i, s := range all {
		wait.Go(func() {
			if errs[i] = s.Up(ctx); errs[i] == nil {
				errs[i] = s.Prepare(ctx)
			}
		})
	}
	defer stage.DownOnSignal(ctx, all...)()
	defer func() {
		for _, s := range all {
			if err := s.Down(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}()
	wait.Wait()
	for i, err := range errs {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", all[i].Name(), err)
			return 1
		}
		play.stages <- all[i]
	}
	fmt.Printf("%d servers stand after %v\n", lanes, time.Since(began).Round(time.Second))
	code := m.Run()
	if err := play.report.write(os.Stdout, first.Root(), time.Since(began)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
