package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

type applyOptions struct {
	fleetFlags
	choiceFlags
	system     bool // as well
	reboot     bool
	yes        bool
	unattended bool
	watch      time.Duration
}

func (a *app) apply() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Install Mattermost, or upgrade it",
		Long: `Installs Mattermost where there is none, and upgrades it where there is. When it is up to date,
nothing is changed. If a run is in progress on the server, it is followed instead.

The work is done on the server: Ctrl-C here only stops the watching. To end a run and
roll it back, type: upgrade cancel.

With --all the system's packages are brought up to date as well, with one restart for both: they are
installed while the old version serves, and the database restarts during the downtime of the
upgrade. If the new version does not work, it is rolled back and the packages stay. Where the server itself
must restart, and its window is open, the new version starts with it. See also: upgrade os --help

Of several stacks the first goes alone. When it is well, the others follow, some at a time, and
without the versions that failed on any of them. After a rollback no other is begun.
` + exitCodes,
		Example: `  upgrade apply --stack prod
  upgrade apply --stack prod --to 9.10.0 --yes
  upgrade apply --stack prod --all
  upgrade apply --stack staging --stack prod --stack prod-eu --yes
  upgrade apply --host ops@chat.example.org --host-key "ssh-ed25519 AAAA…"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runApply(cmd.Context(), &o)
		},
	}
	o.choiceFlags.add(cmd)
	cmd.Flags().BoolVar(&o.system, "all", false, "Mattermost and the operating system, with one restart")
	cmd.Flags().BoolVar(&o.reboot, "reboot", false, "with --all: if the server must be restarted, do it now, whatever its window")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.unattended, "unattended", false, "for scheduled runs: do not ask, and only begin within the server's window")
	cmd.Flags().DurationVar(&o.watch, "watch", 0, "how long to watch the new version before it is kept (default 60s)")
	o.fleetFlags.add(cmd)
	a.keepFlags(cmd)
	a.common(cmd, &o.targetFlags)
	return cmd
}

func (o *applyOptions) check(a *app) problem.List {
	found := append(o.choiceFlags.check(), o.fleetFlags.check()...)
	found = append(found, watchProblems(o.watch)...)
	if o.reboot && !o.system {
		found = append(found, problem.Problem{Where: "--reboot", Found: "given without --all", Allowed: "with --all: only the system needs it"})
	}
	found = append(found, rebootProblems(o.reboot, o.unattended)...)
	if !o.yes && !o.unattended && !isTerminal(a.stdin) {
		found = append(found, problem.Problem{Where: "--yes", Found: "missing, and there is no terminal to ask on",
			Hint: "--yes"})
	}
	return found
}

func watchProblems(watch time.Duration) problem.List {
	if c := (state.Config{Watch: watch}).Check("--watch"); len(c) == 0 && watch >= 0 {
		return nil
	}
	return problem.List{{Where: "--watch", Found: printable.Duration(watch), Allowed: "1s to 1h, such as 60s"}}
}

func (o *applyOptions) sure() bool { return o.yes || o.unattended }

func (a *app) runApply(ctx context.Context, o *applyOptions) error {
	if found := o.check(a); len(found) > 0 {
		return &usageError{problems: found}
	}
	a.printer.Given = o.given()
	if o.several() {
		return a.applyFleet(ctx, o)
	}
	report, err := a.applyTo(ctx, o, &o.targetFlags)
	return a.ended(&o.targetFlags, report, err)
}

// ended ends a command that did something on one server.
func (a *app) ended(f *targetFlags, report phase.Report, err error) error {
	if err := a.keep(f, ui.Result{Report: &report, Exit: report.Exit}, err); err != nil {
		return err
	}
	if err := a.printer.Report(report); err != nil {
		return err
	}
	return exitWith(report.Exit)
}

// applyTo brings one server as far as it goes.
func (a *app) applyTo(ctx context.Context, o *applyOptions, f *targetFlags) (phase.Report, error) {
	r := request{Operation: "apply", Options: phase.Options{To: o.to, Retry: o.retry, Watch: o.watch, Unattended: o.unattended}, Who: who()}
	if o.system {
		r.Operation, r.Reboot = "all", o.reboot
	}
	return a.bring(ctx, f, r, o.sure())
}

// bring does what is asked for on one server, as often as that takes.
func (a *app) bring(ctx context.Context, f *targetFlags, r request, sure bool) (phase.Report, error) {
	s, err := a.open(ctx, f)
	if err != nil {
		return phase.Report{}, err
	}
	defer s.close()
	began, announced := time.Now(), false
	r.Follow, r.KeepKey = true, s.key()
	for {
		plan, err := s.examine(ctx, "plan", r)
		if again, ended := patiently(ctx, r.Unattended && plan.Running == "", began, err, plan.Exit); again {
			if ended != nil {
				return phase.Report{}, ended
			}
			continue
		}
		if err != nil {
			return phase.Report{}, err
		}
		if plan.Instead != "" {
			r.Operation = a.instead(plan)
			continue
		}
		if plan.First != "" && r.Follow {
			r.Follow = false // once
			if report, err := a.followStack(ctx, s, plan, r, sure); err != nil || report.Exit == phase.ExitRolledBack || report.Exit == phase.ExitNotRolledBack {
				return report, err
			}
			continue
		}
		if plan.Left != "" {
			if plan.Stuck && r.Unattended {
				plan.Error, plan.Hint = needsPerson(plan.Left), "put everything back: "+a.printer.Command("recover")
				return a.still(plan, r.Operation), nil
			}
			if report, again, err := a.mend(ctx, s, plan.Left, plan.Stuck); !again {
				return report, err
			}
			continue
		}
		if r.Unattended && !announced && begins(plan) {
			if announced, err = a.announce(ctx, s, plan); err != nil {
				return phase.Report{}, err
			}
			if announced {
				continue
			}
		}
		plan.Recovered = s.recovered
		report, then, err := a.step(ctx, s, plan, r, sure)
		if err != nil {
			return report, err
		}
		if again, ended := patiently(ctx, r.Unattended, began, nil, report.Exit); again {
			if ended != nil {
				return report, ended
			}
			continue
		}
		switch {
		case then == lookAgain:
			continue
		case then == goOn && report.Exit == phase.ExitDone:
			a.printer.Say("Mattermost is now %s, a stop on the way to %s. Going on.", report.To, plan.Target)
			sure = true
			continue
		case report.UpToDate && r.Operation != "os":
			report.Timers, err = a.syncTimers(ctx, s)
			return report, err
		}
		return report, nil
	}
}

// instead says of both which one has something to do; its own operation does it.
func (a *app) instead(plan phase.Preview) string {
	if plan.Why != "" {
		a.printer.Say("%s%s.", strings.ToUpper(plan.Why[:1]), plan.Why[1:])
	}
	return plan.Instead
}

// applyFleet brings several stacks as far as they go.
func (a *app) applyFleet(ctx context.Context, o *applyOptions) error {
	f, err := a.fleet(ctx, &o.fleetFlags)
	if err != nil {
		return err
	}
	f.learn(ctx)
	do := func(ctx context.Context, a *app, t *targetFlags) (ui.Result, error) {
		report, err := a.applyTo(ctx, o, t)
		return ui.Result{Report: &report, Exit: report.Exit}, err
	}
	return a.finish(f.inTurn(ctx, do, unproven, broken))
}

// unproven says why the others must not follow; empty when they may.
func unproven(r ui.Result) string {
	switch {
	case r.Held != "":
		return r.Held
	case r.Error != "" || r.Report == nil:
		return "it could not be upgraded"
	case r.Report.Outcome == phase.OutcomeLater && r.Report.To != r.Report.From && r.Exit != phase.ExitAvailable:
		return "it may not begin now" // with the version; packages that wait there prove nothing and delay nobody
	case r.Exit != phase.ExitDone && r.Exit != phase.ExitAvailable: // which is a larger step that waits for a person
		return "it went wrong there"
	}
	return ""
}

// broken is the result after which no other stack is begun.
func broken(r ui.Result) bool {
	return r.Exit == phase.ExitRolledBack || r.Exit == phase.ExitNotRolledBack
}

// patience is how often in a row an unattended run may fail: each time people are without service.
const patience = 2

// next is what follows a step.
type next int

const (
	finished  next = iota
	goOn           // the run, if it went well, was a stop on the way
	lookAgain      // what became of the step is not known
)

// step does one run, or follows the one in progress.
func (a *app) step(ctx context.Context, s *session, plan phase.Preview, r request, sure bool) (phase.Report, next, error) {
	switch {
	case plan.Running != "":
		a.printer.Say("A run is in progress on the server; following it.")
		report, err := s.follow(ctx, plan.Running)
		if err == nil && another(report, r) {
			a.printer.Say("That was another run: %s. Looking again.", report.ID)
			return report, lookAgain, nil
		}
		return report, finished, err
	case plan.Error != "" || plan.UpToDate || plan.Closed:
		return a.still(plan, r.Operation), finished, nil
	case r.Unattended && plan.Failures >= patience:
		plan.Exit = phase.ExitRefused
		plan.Problems = problem.List{{Where: "Mattermost " + plan.To, Found: fmt.Sprintf("put back %d times in a row", plan.Failures),
			Allowed: "once; then a person looks at it first", Hint: a.printer.Command("apply")}}
		plan.Error = plan.Problems[0].String()
		return a.still(plan, r.Operation), finished, nil
	default:
		if err := a.confirm(ctx, plan, sure); err != nil {
			return phase.Report{}, finished, err
		}
	}
	report, attached, err := s.run(ctx, r)
	switch {
	case errors.Is(err, errUnknown):
		return phase.Report{}, lookAgain, nil
	case err == nil && attached && another(report, r):
		return report, lookAgain, nil
	case plan.To == plan.Target || attached:
		return report, finished, err
	}
	return report, goOn, err
}

// another says of a run that was followed that it was not what is asked for: another operation, or
// to another version than the one that a person named.
func another(report phase.Report, r request) bool {
	return phase.OperationOf(report.ID) != r.Operation || r.To != "" && report.To != strings.TrimPrefix(r.To, "v")
}

// still is the report of a run that was not needed, or refused.
func (a *app) still(plan phase.Preview, operation string) phase.Report {
	r := phase.Report{UpToDate: plan.UpToDate && !plan.Closed, Why: plan.Why, Waiting: plan.Waiting, Warnings: plan.Warnings,
		Problems: plan.Problems, Hint: plan.Hint, Recovered: plan.Recovered, Exit: plan.Exit}
	if plan.Behind() {
		r.Behind = plan.Reasons()
	}
	r.Operation, r.From, r.To, r.Error = operation, plan.From, plan.To, plan.Error
	r.Started = time.Now().UTC()
	r.Ended = r.Started
	switch {
	case plan.Exit == phase.ExitRefused:
		r.Outcome = phase.OutcomeRefused
	case plan.Error != "":
		r.Outcome = phase.OutcomeFailed
	case plan.Closed:
		r.Outcome = phase.OutcomeLater
	default:
		r.Outcome = phase.OutcomeDone
	}
	return r
}

func (a *app) confirm(ctx context.Context, plan phase.Preview, sure bool) error {
	title := a.printer.Title(plan)
	if sure {
		a.printer.Say("%s", title)
		return nil
	}
	a.printer.Warnings(plan.Warnings)
	return a.agree(ctx, title)
}

// agree asks, and goes on only after a yes.
func (a *app) agree(ctx context.Context, question string) error {
	word, err := a.answer(ctx, question+"? [y/N] ")
	if err != nil {
		return err
	}
	if word == "y" || word == "yes" {
		return nil
	}
	return errors.New("not confirmed; nothing was changed")
}

// answer asks a person for a word.
func (a *app) answer(ctx context.Context, question string) (string, error) {
	a.printer.Ask("%s", question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		a.printer.Say("")
		return "", fmt.Errorf("nothing was changed: %w", context.Cause(ctx))
	case word := <-answer:
		return word, nil
	}
}

func isTerminal(r io.Reader) bool {
	file, ok := r.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
