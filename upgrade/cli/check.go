package cli

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/ui"
)

func (a *app) check() *cobra.Command {
	var (
		f          fleetFlags
		unattended bool
		o          phase.Options
		system     bool
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Is there something new?",
		Long: `Looks for a newer release that this server's policy allows. Changes nothing in Mattermost, except that
a killed run is recovered first.

A server that gets no update is not up to date where newer versions are held (skipped, failed before, not
installable), or where support for the installed one has ended: each is named, and the exit code is 13.

Exit codes: 0 up to date, 10 an update is available, 13 no update will be installed and the server needs
attention, 1 an error, 2 not understood, 3 refused, 5 a run could not be rolled back and needs an operator,
11 a run is in progress.`,
		Example: "  upgrade check --stack prod\n  upgrade check --stack prod --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runCheck(cmd.Context(), &f, o, unattended, system)
		},
	}
	cmd.Flags().BoolVar(&system, "all", false, "for Mattermost, and for the operating system")
	cmd.Flags().BoolVar(&o.ByItself, "by-itself", false, "what an unattended run would install, and what is pending approval")
	f.add(cmd)
	cmd.Flags().BoolVar(&unattended, "unattended", false, "for scheduled runs: wait until a run in progress has ended, and let the server send notifications")
	a.keepFlags(cmd)
	a.common(cmd, &f.targetFlags)
	return cmd
}

func (a *app) runCheck(ctx context.Context, f *fleetFlags, o phase.Options, unattended, system bool) error {
	found := f.check()
	if unattended && system {
		found = append(found, problem.Problem{Where: "--all", Found: "given with --unattended", Allowed: "--unattended alone, which looks at both"})
	}
	if len(found) > 0 {
		return &usageError{problems: found}
	}
	on := func(ctx context.Context, a *app, t *targetFlags) (phase.Preview, error) {
		if system {
			return a.checkAll(ctx, t, o)
		}
		return a.checkOn(ctx, t, o)
	}
	if f.several() {
		return a.lookFleet(ctx, f, on)
	}
	look := func() (phase.Preview, error) { return on(ctx, a, &f.targetFlags) }
	if unattended {
		look = func() (phase.Preview, error) { return a.checkAlone(ctx, &f.targetFlags) }
	}
	plan, err := look()
	if err := a.keep(&f.targetFlags, ui.Result{Plan: &plan, Exit: plan.Exit}, err); err != nil {
		return err
	}
	if err := a.busy(plan); err != nil {
		return err
	}
	tell := a.printer.Check
	if plan.Operation == "os" {
		tell = a.printer.SystemCheck
	}
	if err := tell(plan); err != nil {
		return err
	}
	return exitWith(plan.Exit)
}

// checkAll asks one server what is new for it and for its system.
func (a *app) checkAll(ctx context.Context, f *targetFlags, o phase.Options) (phase.Preview, error) {
	s, err := a.open(ctx, f)
	if err != nil {
		return phase.Preview{}, err
	}
	defer s.close()
	plan, err := a.lookAtAll(ctx, s, o)
	if err == nil {
		plan.Exit = systemExit(plan)
		judge(&plan)
	}
	return plan, err
}

// checkOn asks one server what is new for it.
func (a *app) checkOn(ctx context.Context, f *targetFlags, o phase.Options) (phase.Preview, error) {
	s, err := a.open(ctx, f)
	if err != nil {
		return phase.Preview{}, err
	}
	defer s.close()
	plan, err := a.look(ctx, s, "check", request{Options: o})
	if err == nil && plan.Exit == phase.ExitDone && !plan.UpToDate {
		plan.Exit = phase.ExitAvailable
	}
	judge(&plan)
	return plan, err
}

// judge gives a check that found nothing to install the exit code of a server that needs attention.
func judge(plan *phase.Preview) {
	if plan.Exit == phase.ExitDone && plan.Behind() {
		plan.UpToDate, plan.Exit = false, phase.ExitAttention
	}
}

// lookFleet makes plans of several stacks at once; nothing is changed on any.
func (a *app) lookFleet(ctx context.Context, f *fleetFlags, look func(context.Context, *app, *targetFlags) (phase.Preview, error)) error {
	fleet, err := a.fleet(ctx, f)
	if err != nil {
		return err
	}
	fleet.learn(ctx)
	results := fleet.each(ctx, fleet.names, func(ctx context.Context, a *app, t *targetFlags) (ui.Result, error) {
		plan, err := look(ctx, a, t)
		return ui.Result{Plan: &plan, Hint: plan.Hint, Exit: plan.Exit}, err
	}, never)
	return a.finish(results)
}

// busy turns a plan that could not be made, because a run is in progress, into words.
func (a *app) busy(plan phase.Preview) error {
	if plan.Running == "" && plan.Left == "" {
		return nil
	}
	if a.printer.JSON {
		if err := a.printer.Result(plan, nil); err != nil {
			return err
		}
	}
	switch {
	case plan.Running != "":
		a.printer.Say("A run is in progress on the server: %s", plan.Running)
		a.printer.Hint("follow it: " + a.printer.Command("follow"))
		return exitWith(phase.ExitLocked)
	case plan.Left != "":
		a.printer.Say("Unfinished: %s.", needsPerson(plan.Left))
		a.printer.Hint("see what it said: " + a.printer.Command("history"))
		a.printer.Hint("then put everything back: " + a.printer.Command("recover"))
		return exitWith(phase.ExitNotRolledBack)
	}
	return nil
}

// common adds the flags that every command has, and has hints name the server as the command does.
func (a *app) common(cmd *cobra.Command, f *targetFlags) {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.printer.Asked = strings.Join(append([]string{cmd.CommandPath()}, quoted(args)...), " ")
		a.printer.Target, a.printer.Typed = f.words(), given(cmd)
		if f.local {
			a.printer.Program = a.program
		}
		return run(cmd, args)
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&a.printer.JSON, "json", false, "the result as one JSON object on stdout")
}

// notRepeated are the flags that a hint does not repeat: those that name the server are in its target, the
// others are about the output or the consent.
var notRepeated = []string{"stack", "all-stacks", "project", "host", "host-key", "local", "identity", "config", "wait",
	"json", "markdown", "outputs", "yes", "unattended", "show"}

// zeros end a duration as Go writes it: 10m0s is 10m.
var zeros = regexp.MustCompile(`(h)0m0s$|([0-9]m)0s$`)

// given returns a command's own flags as they were typed.
func given(cmd *cobra.Command) (flags []string) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case slices.Contains(notRepeated, f.Name):
		case f.Value.Type() == "bool":
			flags = append(flags, "--"+f.Name)
		default:
			flags = append(flags, "--"+f.Name+" "+word(zeros.ReplaceAllString(f.Value.String(), "$1$2")))
		}
	})
	return flags
}
