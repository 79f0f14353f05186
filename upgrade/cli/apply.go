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

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

type applyOptions struct {
	targetFlags
	choiceFlags
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

The work is done on the server: Ctrl-C here only stops the watching. To end a run and put
everything back, type: upgrade cancel.
` + exitCodes,
		Example: `  upgrade apply --stack prod
  upgrade apply --stack prod --to 9.10.0 --yes
  upgrade apply --host ops@chat.example.org --host-key "ssh-ed25519 AAAA…"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runApply(cmd.Context(), &o)
		},
	}
	o.choiceFlags.add(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.unattended, "unattended", false, "for scheduled runs: do not ask, and only begin within the server's window")
	cmd.Flags().DurationVar(&o.watch, "watch", 0, "how long to watch the new version before it is kept (default 60s)")
	a.common(cmd, &o.targetFlags)
	return cmd
}

func (o *applyOptions) check(a *app) problem.List {
	found := append(o.choiceFlags.check(), o.targetFlags.check()...)
	if c := (state.Config{Watch: o.watch}).Check("--watch"); len(c) > 0 || o.watch < 0 {
		found = append(found, problem.Problem{Where: "--watch", Found: o.watch.String(), Allowed: "1s to 1h, such as 60s"})
	}
	if !o.yes && !o.unattended && !isTerminal(a.stdin) {
		found = append(found, problem.Problem{Where: "--yes", Found: "missing, and there is no terminal to ask on",
			Hint: "upgrade apply --yes …"})
	}
	return found
}

func (o *applyOptions) sure() bool { return o.yes || o.unattended }

func (a *app) runApply(ctx context.Context, o *applyOptions) error {
	if found := o.check(a); len(found) > 0 {
		return &usageError{problems: found}
	}
	s, err := a.open(ctx, &o.targetFlags)
	if err != nil {
		return err
	}
	defer s.close()
	r := request{Operation: "apply", Options: phase.Options{To: o.to, Retry: o.retry, Watch: o.watch, Unattended: o.unattended}, Who: who()}
	for sure := o.sure(); ; {
		plan, err := s.examine(ctx, "plan", r)
		if err != nil {
			return err
		}
		report, then, err := a.step(ctx, s, plan, r, sure)
		if err != nil {
			return err
		}
		switch {
		case then == lookAgain:
			continue
		case plan.Left != "" && (report.Exit == phase.ExitRolledBack || report.Exit == phase.ExitDone):
			a.printer.Say("The run %s is put back. Looking again.", plan.Left)
			continue
		case then == goOn && report.Exit == phase.ExitDone:
			a.printer.Say("Mattermost is now %s, a stop on the way to %s. Going on.", report.To, plan.Target)
			sure = true
			continue
		}
		if err := a.printer.Report(report); err != nil {
			return err
		}
		return exitWith(report.Exit)
	}
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
		if err == nil && phase.OperationOf(plan.Running) != r.Operation {
			a.printer.Say("That was not an upgrade, but: %s. Looking again.", phase.OperationOf(plan.Running))
			return report, lookAgain, nil
		}
		return report, finished, err
	case plan.Left != "":
		a.printer.Say("The run %s was left unfinished, as by a power cut; it is put back first.", plan.Left)
		r.Repair = true
	case plan.Error != "" || plan.UpToDate || plan.Closed:
		return a.still(plan), finished, nil
	case r.Unattended && plan.Failures >= patience:
		plan.Exit = phase.ExitRefused
		plan.Problems = problem.List{{Where: "Mattermost " + plan.To, Found: fmt.Sprintf("put back %d times in a row", plan.Failures),
			Allowed: "once; then a person looks at it first", Hint: a.printer.Command("apply")}}
		plan.Error = plan.Problems[0].String()
		return a.still(plan), finished, nil
	default:
		if err := a.confirm(ctx, plan, sure); err != nil {
			return phase.Report{}, finished, err
		}
	}
	report, attached, err := s.run(ctx, r)
	switch {
	case errors.Is(err, errUnknown):
		return phase.Report{}, lookAgain, nil
	case plan.To == plan.Target || attached:
		return report, finished, err
	}
	return report, goOn, err
}

// still is the report of a run that was not needed, or refused.
func (a *app) still(plan phase.Preview) phase.Report {
	r := phase.Report{UpToDate: plan.UpToDate && !plan.Closed, Why: plan.Why, Waiting: plan.Waiting, Warnings: plan.Warnings,
		Problems: plan.Problems, Hint: plan.Hint, Exit: plan.Exit}
	r.Operation, r.From, r.To, r.Error = "apply", plan.From, plan.To, plan.Error
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
	answer := make(chan string, 1)
	a.printer.Warnings(plan.Warnings)
	a.printer.Ask("%s? [y/N] ", title)
	go func() {
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		a.printer.Say("")
		return fmt.Errorf("nothing was changed: %w", context.Cause(ctx))
	case word := <-answer:
		if word == "y" || word == "yes" {
			return nil
		}
		return errors.New("not confirmed; nothing was changed")
	}
}

func isTerminal(r io.Reader) bool {
	file, ok := r.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
