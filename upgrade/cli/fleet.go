package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// fleetFlags name the servers of a command that can work on several.
type fleetFlags struct {
	targetFlags
	parallel int
}

func (f *fleetFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.all, "all-stacks", false, "every stack of the Pulumi project; --stack can be given several times, too")
	cmd.Flags().IntVar(&f.parallel, "parallel", 0, fmt.Sprintf("with several stacks: how many at a time (default %d; %s can say, too)", state.DefaultParallel, state.FleetFile))
}

// several tells whether more than one server may be meant.
func (f *fleetFlags) several() bool { return f.all || len(f.stacks) > 1 }

// check is that of the flags for one server, or of those for several.
func (f *fleetFlags) check() problem.List {
	if !f.several() {
		found := f.targetFlags.check()
		if f.parallel != 0 {
			found = append(found, problem.Problem{Where: "--parallel", Found: "given for one server", Allowed: "with --all-stacks or several --stack"})
		}
		return found
	}
	var found problem.List
	add := func(where, what, allowed string) {
		found = append(found, problem.Problem{Where: where, Found: what, Allowed: allowed})
	}
	if f.all && len(f.stacks) > 0 {
		add("--all-stacks", "given with --stack", "one of them")
	}
	if f.parallel < 0 || f.parallel > state.MaxParallel {
		add("--parallel", fmt.Sprint(f.parallel), fmt.Sprintf("1 to %d", state.MaxParallel))
	}
	for i, name := range f.stacks {
		if !stackShape.MatchString(name) {
			add("--stack", fmt.Sprintf("%q", name), stackAllowed)
		} else if slices.Contains(f.stacks[:i], name) {
			add("--stack", name+" is there twice", "each stack once")
		}
	}
	one := f.targetFlags
	one.stacks, one.stack = nil, "any"
	return append(found, one.check()...)
}

// fleet is several servers in the order in which they are worked on.
type fleet struct {
	app    *app
	flags  *fleetFlags
	policy state.Fleet
	names  []string // the canary first

	known map[string]ui.Status // of those that could be asked what failed on them; nil: nobody asked
}

// fleet finds out which stacks there are and what their policy says.
func (a *app) fleet(ctx context.Context, f *fleetFlags) (*fleet, error) {
	a.printer.Target = f.words()
	policy, err := state.LoadFleet(f.project)
	if err != nil {
		return nil, err
	}
	policy.Parallel = cmp.Or(f.parallel, policy.Parallel, state.DefaultParallel)
	names := slices.Clone(f.stacks)
	if f.all {
		if names, err = a.allStacks(ctx, f.project); err != nil {
			return nil, err
		}
	}
	if i := slices.Index(names, policy.Canary); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, policy.Canary)
	}
	return &fleet{app: a, flags: f, policy: policy, names: names}, nil
}

// allStacks asks Pulumi.
func (a *app) allStacks(ctx context.Context, project string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "pulumi", "stack", "ls", "--json", "--non-interactive")
	cmd.Dir = project
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &stackError{stack: "list", project: project, cause: err, said: strings.TrimSpace(stderr.String())}
	}
	var list []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &list); err != nil {
		return nil, fmt.Errorf("read Pulumi's list of stacks: %w", err)
	}
	var names []string
	for _, s := range list {
		if !stackShape.MatchString(s.Name) {
			return nil, fmt.Errorf("read Pulumi's list of stacks: %q is no name of one", s.Name)
		}
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return nil, errors.New("there is no stack in this Pulumi project")
	}
	slices.Sort(names)
	return names, nil
}

// finish ends a command on several stacks.
func (a *app) finish(results []ui.Result) error {
	exit := worst(results)
	if err := errors.Join(a.printer.Keep(results, exit), a.printer.Fleet(results, exit)); err != nil {
		return err
	}
	return exitWith(exit)
}

// keep writes the result of one server to the files that were asked for, and gives err back.
func (a *app) keep(f *targetFlags, r ui.Result, err error) error {
	r.Stack = f.label()
	var code *exitError
	switch {
	case errors.As(err, &code):
		r.Exit = code.code
	case err != nil:
		r.Error, r.Hint, r.Exit = err.Error(), a.printer.Complete(phase.Hint(err)), codeOf(err)
	}
	r.Target, r.Named = f.words(), f.named()
	return cmp.Or(err, a.printer.Keep([]ui.Result{r}, r.Exit))
}

// keepFlags are for scripts that go on with the result.
func (a *app) keepFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.printer.Markdown, "markdown", "", "append the result as Markdown to this file, such as a job's summary")
	cmd.Flags().StringVar(&a.printer.Outputs, "outputs", "", "append it as key=value lines (pending, waiting, done, exit) to this file")
}

// work is what is done on one stack of a fleet.
type work func(ctx context.Context, a *app, f *targetFlags) (ui.Result, error)

// one does the work on one stack. What it says has the stack's name before each line.
func (f *fleet) one(ctx context.Context, name string, do work) ui.Result {
	var quiet bytes.Buffer
	member := *f.app
	lines := &prefixed{to: f.app.printer, name: name}
	member.printer = ui.New(&quiet, lines, func(string) string { return "" }, f.app.redactor)
	flags := f.flags.targetFlags
	flags.stack, flags.stacks, flags.all, flags.elsewhere = name, []string{name}, false, f.elsewhere(name)
	member.printer.Asked, member.printer.Typed, member.printer.Given, member.printer.Target = f.app.printer.Asked, f.app.printer.Typed, f.app.printer.Given, flags.words()
	result, err := do(ctx, &member, &flags)
	if err != nil {
		result.Error, result.Hint, result.Exit = printable.Lines(f.app.redactor.String(err.Error())), phase.Hint(err), codeOf(err)
		var code *exitError
		if errors.As(err, &code) { // said already
			result.Error, result.Exit = "not watched to its end", code.code
		} else {
			member.printer.Fail(err, result.Exit)
		}
	}
	member.printer.Close()
	result.Stack, result.Target, result.Named = name, flags.words(), flags.named()
	result.Hint = member.printer.Complete(result.Hint)
	return result.Complete()
}

// each does the work on the stacks, policy.Parallel at a time, and gives the results in their
// order. After one that stop says so of, none is begun any more.
func (f *fleet) each(ctx context.Context, names []string, do work, stop func(ui.Result) bool) []ui.Result {
	var (
		results = make([]ui.Result, len(names))
		free    = make(chan struct{}, f.policy.Parallel)
		workers sync.WaitGroup
		mu      sync.Mutex
		because string
	)
	for i, name := range names {
		free <- struct{}{}
		mu.Lock()
		held := because
		mu.Unlock()
		if held == "" && ctx.Err() != nil {
			held = context.Cause(ctx).Error()
		}
		if held != "" {
			results[i] = ui.Result{Stack: name, Held: held}
			<-free
			continue
		}
		workers.Go(func() {
			defer func() { <-free }()
			results[i] = f.one(ctx, name, do)
			if stop(results[i]) {
				mu.Lock()
				defer mu.Unlock()
				because = "it went wrong on " + name
			}
		})
	}
	workers.Wait()
	return results
}

// learn asks every server what failed on it, so that the others hear of it: those that are worked on
// now, and their own timers later. Whoever does not answer at once is waited for when there is work.
func (f *fleet) learn(ctx context.Context) {
	var mu sync.Mutex
	known := map[string]ui.Status{}
	f.each(ctx, f.names, func(ctx context.Context, a *app, t *targetFlags) (ui.Result, error) {
		t.wait = 0
		if status, err := a.askStatus(ctx, t, false); err == nil {
			mu.Lock()
			defer mu.Unlock()
			known[t.stack] = status
		}
		return ui.Result{}, nil // the work itself comes upon the same, and says it
	}, never)
	f.known = known
}

// longestReason is how much of it other servers are told.
const longestReason = 300

// elsewhere is what failed on the servers of other stacks than this one, and how. What a stack said
// that was not asked now, or did not answer, still counts.
func (f *fleet) elsewhere(name string) map[string]string {
	if f.known == nil {
		return nil
	}
	on := func(stack string) string { return "it failed on " + stack + " on " }
	failed := maps.Clone(f.known[name].Elsewhere)
	if failed == nil {
		failed = map[string]string{}
	}
	maps.DeleteFunc(failed, func(_, how string) bool {
		for asked := range f.known {
			if strings.HasPrefix(how, on(asked)) {
				return true
			}
		}
		return false
	})
	for _, other := range f.names {
		for version, bad := range f.known[other].Bad {
			if other != name {
				reason, _, _ := strings.Cut(bad.Reason, "\n")
				failed[version] = on(other) + bad.Since.Format(time.DateOnly) + ": " + runewidth.Truncate(reason, longestReason, "…")
			}
		}
	}
	return failed
}

// inTurn does the work on the first stack alone, and then, unless unproven says why not, on the others,
// until stop says so of one.
func (f *fleet) inTurn(ctx context.Context, do work, unproven func(ui.Result) string, stop func(ui.Result) bool) []ui.Result {
	first, others := f.names[0], f.names[1:]
	results := f.each(ctx, f.names[:1], do, never)
	results[0].Canary = true
	why := unproven(results[0])
	if why == "" {
		return append(results, f.each(ctx, others, do, stop)...)
	}
	for _, name := range others {
		results = append(results, ui.Result{Stack: name, Held: first + " goes first, and " + why})
	}
	return results
}

// never begins every stack, whatever becomes of the others.
func never(ui.Result) bool { return false }

// prefixed writes whole lines, each with a stack's name before it.
type prefixed struct {
	to   *ui.Printer
	name string
	rest []byte
}

func (w *prefixed) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.to.Say("%s | %s", w.name, w.rest[:i])
		w.rest = w.rest[i+1:]
	}
}

// worst is the exit code of several: what needs a person soonest.
func worst(results []ui.Result) int {
	order := []int{phase.ExitNotRolledBack, phase.ExitRolledBack, phase.ExitError, phase.ExitRefused, phase.ExitInterrupted,
		phase.ExitLocked, phase.ExitNotListed, phase.ExitAttention, phase.ExitAvailable}
	for _, code := range order {
		if slices.ContainsFunc(results, func(r ui.Result) bool { return r.Exit == code }) {
			return code
		}
	}
	return phase.ExitDone
}
