// Bench measures what Townsquare promises: how long users wait during an upgrade, beside the vendor's
// own guide and beside the floor, a bare restart; and what rolling back, backups, a run with nothing
// to do and a new server cost. It plays on a local cloud of its own and writes each figure down as
// soon as it has it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"townsquare/infra/localcloud/stage"
)

func main() { os.Exit(run()) }

// bench is one run of the suite.
type bench struct {
	stage  *stage.Stage
	sizes  []size
	passes int
	quick  bool
	found  *results
	commit string
	memory filler

	patience time.Duration // with other virtual machines, before something is measured
}

// part is a piece of the suite that can be run alone.
type part struct {
	name string
	run  func(context.Context) error
}

func (b *bench) parts() []part {
	var all []part
	add := func(name string, run func(context.Context) error) { all = append(all, part{name, run}) }
	add("prepare", b.prepare)
	for pass := range b.passes {
		for _, s := range b.sizes {
			add(fmt.Sprintf("downtime %s %d", s.name(), pass+1), func(ctx context.Context) error {
				return b.quietly(func() error { return b.serving(ctx, s) })
			})
		}
	}
	largest := b.sizes[len(b.sizes)-1]
	for _, s := range b.sizes {
		add("offline "+s.name(), func(ctx context.Context) error {
			return b.quietly(func() error { return b.offline(ctx, s) })
		})
		add("guide "+s.name(), func(ctx context.Context) error {
			if s != largest {
				return b.guided(ctx, s)
			}
			for range min(b.passes, 3) { // a promise rests on it; it takes long
				if err := b.guided(ctx, s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if !b.quick {
		add("read guide "+largest.name(), func(ctx context.Context) error { return b.guidedRead(ctx, largest) })
		add("leap "+largest.name(), func(ctx context.Context) error {
			return b.quietly(func() error { return b.leap(ctx, largest) })
		})
	}
	add("rollback", func(ctx context.Context) error { return b.rollback(ctx, largest) })
	add("backup", func(ctx context.Context) error { return b.backup(ctx, largest) })
	add("nothing", func(ctx context.Context) error { return b.nothing(ctx, largest) })
	if !b.quick {
		add("provision", b.provision)
	}
	return all
}

func run() int {
	quick := flag.Bool("quick", false, "the smallest size, one pass, without the longest parts: made for ten minutes")
	only := flag.String("only", "", "only the parts that this regular expression matches")
	largest := flag.String("largest", "", "no size beyond this one, such as 100k")
	again := flag.Bool("report", false, "only write the report again, from what was measured")
	list := flag.Bool("list", false, "name the parts, and end")
	commit := flag.String("commit", "", "what is measured, for the record")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: --only:", err)
		return 2
	}
	b := &bench{stage: stage.New("bench"), sizes: sizes, passes: 5, commit: *commit, patience: 2 * time.Minute}
	home, shown := "bin/bench-results", "scripts/bench"
	if *quick {
		b.quick, b.sizes, b.passes, b.patience = true, sizes[:1], 1, 10*time.Second
		home, shown = "bin/bench-quick", "bin/bench-quick"
	}
	if *largest != "" {
		last := slices.IndexFunc(b.sizes, func(s size) bool { return s.name() == *largest })
		if last < 0 {
			fmt.Fprintf(os.Stderr, "bench: --largest: there is no size %s\n", *largest)
			return 2
		}
		b.sizes = b.sizes[:last+1]
	}
	if *list {
		for _, p := range b.parts() {
			fmt.Println(p.name)
		}
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if b.found, err = openResults(home, shown); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	if *again {
		err = b.found.write()
	} else {
		err = b.play(ctx, wanted)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	fmt.Println("written:", filepath.Join(shown, "RESULTS.md"))
	return 0
}

// play runs the wanted parts. One that fails does not keep the others from being measured.
func (b *bench) play(ctx context.Context, wanted *regexp.Regexp) (err error) {
	if err := b.stage.Up(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stage.Down(context.WithoutCancel(ctx))) }()
	for _, p := range b.parts() {
		if !wanted.MatchString(p.name) {
			continue
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		began := time.Now()
		fmt.Printf("%s  %s\n", began.Format(time.TimeOnly), p.name)
		if e := p.run(ctx); e != nil {
			fmt.Printf("          failed: %v\n", e)
			err = errors.Join(err, fmt.Errorf("%s: %w", p.name, e))
		}
		fmt.Printf("          took %v\n", time.Since(began).Round(time.Second))
	}
	return err
}
