package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/ui"
)

type osOptions struct {
	fleetFlags
	security   bool
	reboot     bool
	yes        bool
	unattended bool
}

func (o *osOptions) sure() bool { return o.yes || o.unattended }

func (o *osOptions) request() request {
	return request{Operation: "os", Options: phase.Options{SecurityOnly: o.security, Reboot: o.reboot, Unattended: o.unattended}, Who: who()}
}

func (a *app) os() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "os",
		Short: "Keep the operating system current",
		Long: `Brings the packages of the server up to date, restarts what runs old files, and the server itself
only when nothing less helps, in its window.`,
		Example: "  upgrade os check --stack prod\n  upgrade os plan --stack prod\n  upgrade os apply --stack prod",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(a.osCheck(), a.osPlan(), a.osApply())
	return cmd
}

// common adds the flags that all three have.
func (o *osOptions) common(a *app, cmd *cobra.Command) *cobra.Command {
	cmd.Args = noArgs
	cmd.Flags().BoolVar(&o.security, "security-only", false, "only what the security archive has")
	cmd.Flags().BoolVar(&o.unattended, "unattended", false, "for scheduled runs: do not ask, and keep to the server's window")
	a.common(cmd, &o.targetFlags)
	return cmd
}

func (a *app) osCheck() *cobra.Command {
	var o osOptions
	return o.common(a, &cobra.Command{
		Use:   "check",
		Short: "Are there updates of the system?",
		Long: `Reads what the archives have, and lists what is pending: packages, services that run old files, a
reboot. Changes nothing else.

Exit codes: 0 nothing is pending, 10 something is, 1 an error, 2 not understood, 3 refused: something
has to be put right first, 11 a run is in progress.`,
		Example: "  upgrade os check --stack prod\n  upgrade os check --stack prod --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := a.lookAtSystem(cmd.Context(), &o)
			if err != nil {
				return err
			}
			plan.Exit = systemExit(plan)
			if err := a.printer.SystemCheck(plan); err != nil {
				return err
			}
			return exitWith(plan.Exit)
		},
	})
}

// systemExit is the exit code of a check that looked at the system.
func systemExit(plan phase.Preview) int {
	if f := plan.System; plan.Exit == phase.ExitDone && (!plan.UpToDate || f != nil && f.Reboot.Needed()) {
		return phase.ExitAvailable
	}
	return plan.Exit
}

func (a *app) osPlan() *cobra.Command {
	var o osOptions
	return o.common(a, &cobra.Command{
		Use:   "plan",
		Short: "What would be done to the system?",
		Long: `Does all the checks for real and describes the rest. Changes nothing.

Exit codes: 0 it could be done, or nothing is to do; 1 an error, 2 not understood, 3 refused:
something has to be put right first, 11 a run is in progress.`,
		Example: "  upgrade os plan --stack prod",
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := a.lookAtSystem(cmd.Context(), &o)
			if err != nil {
				return err
			}
			if err := a.printer.Plan(plan); err != nil {
				return err
			}
			return exitWith(plan.Exit)
		},
	})
}

// lookAtSystem makes the plan.
func (a *app) lookAtSystem(ctx context.Context, o *osOptions) (phase.Preview, error) {
	s, err := a.open(ctx, &o.targetFlags)
	if err != nil {
		return phase.Preview{}, err
	}
	defer s.close()
	r := o.request()
	r.Look = true
	plan, err := s.examine(ctx, "plan", r)
	if err != nil {
		return plan, err
	}
	return plan, a.busy(plan)
}

func (a *app) osApply() *cobra.Command {
	var o osOptions
	cmd := o.common(a, &cobra.Command{
		Use:   "apply",
		Short: "Bring the system up to date",
		Long: `Installs the pending packages while everything runs, then restarts, each once, what runs old files:
Mattermost only together with its database, and behind the proxy's hold; sshd only once the new one has
answered on another port with this host's key. The server itself is restarted only if nothing less helps,
and only in its window (without one, at night); the run goes on by itself when it is up again.

With --unattended, what failed twice in a row is tried once a day; where Mattermost was away both times,
not before somebody has typed this command.

Refused is what would remove a package or bring another major version of PostgreSQL.

Of several stacks the first goes alone, then the others, some at a time, and none after one that went wrong.
` + exitCodes,
		Example: `  upgrade os apply --stack prod
  upgrade os apply --stack prod --security-only --yes
  upgrade os apply --stack prod --reboot --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runOSApply(cmd.Context(), &o)
		},
	})
	o.add(cmd)
	a.keepFlags(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.reboot, "reboot", false, "if the server must be restarted, do it now, whatever its window")
	return cmd
}

func rebootProblems(reboot, unattended bool) problem.List {
	if !reboot || !unattended {
		return nil
	}
	return problem.List{{Where: "--reboot", Found: "given with --unattended", Allowed: "one of them: an unattended run keeps to the window"}}
}

func (a *app) runOSApply(ctx context.Context, o *osOptions) error {
	found := o.check()
	if !o.sure() && !isTerminal(a.stdin) {
		found = append(found, problem.Problem{Where: "--yes", Found: "missing, and there is no terminal to ask on", Hint: "--yes"})
	}
	found = append(found, rebootProblems(o.reboot, o.unattended)...)
	if len(found) > 0 {
		return &usageError{problems: found}
	}
	if o.several() {
		return a.osFleet(ctx, o)
	}
	report, err := a.bring(ctx, &o.targetFlags, o.request(), o.sure())
	return a.ended(&o.targetFlags, report, err)
}

// osFleet brings the systems of several stacks up to date. After one that went wrong no other is
// begun; one that cannot be reached says nothing about the packages, and keeps them from nobody.
func (a *app) osFleet(ctx context.Context, o *osOptions) error {
	f, err := a.fleet(ctx, &o.fleetFlags)
	if err != nil {
		return err
	}
	do := func(ctx context.Context, a *app, t *targetFlags) (ui.Result, error) {
		report, err := a.bring(ctx, t, o.request(), o.sure())
		if errors.As(err, new(*awayError)) {
			return ui.Result{}, err
		}
		return ui.Result{Report: &report, Exit: report.Exit}, err
	}
	wrong := func(r ui.Result) bool {
		return r.Report != nil && r.Exit != phase.ExitDone && r.Exit != phase.ExitAvailable
	}
	unproven := func(r ui.Result) string {
		if wrong(r) {
			return "it went wrong there"
		}
		return ""
	}
	return a.finish(f.inTurn(ctx, do, unproven, wrong))
}
