package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/ui"
)

func (a *app) recovery() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Finish or roll back a run that was left unfinished",
		Long: `Finishes or rolls back a run that was killed or whose power was cut, without questions. The server
does so unattended, within seconds or at its next boot, and check, plan and apply do it first; this
is for where that failed. Where the old version serves well on its own database, as after a repair by
hand, the run is closed as it is. The command is idempotent: with nothing left unfinished it changes
nothing.

Exit codes: 0 nothing is unfinished any more, 1 an error, 2 not understood, 5 it could not be
rolled back, and what to type is printed; 11 a run is in progress.`,
		Example: "  upgrade recover --stack prod",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runRecover(cmd.Context(), &f)
		},
	}
	a.common(cmd, &f)
	return cmd
}

func (a *app) runRecover(ctx context.Context, f *targetFlags) error {
	s, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		var now ui.Status
		if err := s.ask(ctx, []string{"status"}, nil, &now); err != nil {
			return err
		}
		switch {
		case now.Running != "":
			return a.busy(phase.Preview{Running: now.Running, Exit: phase.ExitLocked})
		case now.Unfinished == "":
			return a.printer.Whole(now)
		}
		report, again, err := a.mend(ctx, s, now.Unfinished, now.Stuck)
		switch {
		case again:
			continue
		case err != nil:
			return err
		}
		if err := a.printer.Report(report); err != nil {
			return err
		}
		return exitWith(report.Exit)
	}
}

// mend puts the run that was left unfinished back. Then, or when nobody knows, the server is to be
// looked at again; else the report says why not.
func (a *app) mend(ctx context.Context, s *session, left string, stuck bool) (report phase.Report, again bool, err error) {
	if stuck {
		a.printer.Say("The run %s failed and was not undone; it is undone now, or closed where Mattermost serves well again.", left)
	} else {
		a.printer.Say("The run %s was left unfinished, as by a power cut; it is recovered first.", left)
	}
	report, _, err = s.run(ctx, request{Operation: phase.OperationOf(left), Who: who(), Repair: true})
	switch {
	case errors.Is(err, errUnknown):
		return report, true, nil
	case err == nil && (report.Exit == phase.ExitRolledBack || report.Exit == phase.ExitDone):
		a.printer.Say("The run %s is put back. Looking again.", left)
		s.recovered = left
		return report, true, nil
	}
	return report, false, err
}

// look is examine for a server that may have been left half way: that is put back first, without
// questions. What cannot be put back is for a person: the plan names it then, and nothing else.
func (a *app) look(ctx context.Context, s *session, what string, r request) (phase.Preview, error) {
	r.Look = r.Operation != "rehearse"
	for {
		plan, err := s.examine(ctx, what, r)
		if err != nil || plan.Left == "" || plan.Stuck {
			plan.Recovered = s.recovered
			return plan, err
		}
		report, again, err := a.mend(ctx, s, plan.Left, plan.Stuck)
		if err != nil {
			return plan, err
		}
		if !again {
			plan.Stuck, plan.Exit, plan.Error, plan.Hint = true, report.Exit, report.Error, report.Hint
			return plan, nil
		}
	}
}

// needsPerson says of a run that nothing more is done by itself.
func needsPerson(run string) string {
	return "the run " + run + " could not be put back, and needs a person"
}
