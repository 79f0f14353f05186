package cli

import (
	"context"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
)

func (a *app) check() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Is there something new?",
		Long: `Looks for a newer release that this server's policy allows. Changes nothing in Mattermost.

Exit codes: 0 up to date, 10 an update is available, 1 an error, 2 not understood, 3 refused,
11 a run is in progress.`,
		Example: "  upgrade check --stack prod\n  upgrade check --stack prod --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runCheck(cmd.Context(), &f)
		},
	}
	a.common(cmd, &f)
	return cmd
}

func (a *app) runCheck(ctx context.Context, f *targetFlags) error {
	s, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer s.close()
	plan, err := s.examine(ctx, "check", request{})
	if err != nil {
		return err
	}
	if err := a.busy(plan); err != nil {
		return err
	}
	if plan.Error == "" && !plan.UpToDate {
		plan.Exit = phase.ExitAvailable
	}
	if err := a.printer.Check(plan); err != nil {
		return err
	}
	return exitWith(plan.Exit)
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
		a.printer.Hint("follow it: " + a.printer.Command("apply"))
		return exitWith(phase.ExitLocked)
	case plan.Left != "":
		a.printer.Say("The run %s was left unfinished, as by a power cut.", plan.Left)
		a.printer.Hint("put everything back, then go on: " + a.printer.Command("apply"))
		return exitWith(phase.ExitError)
	}
	return nil
}

// common adds the flags that every command has.
func (a *app) common(cmd *cobra.Command, f *targetFlags) {
	f.add(cmd)
	cmd.Flags().BoolVar(&a.printer.JSON, "json", false, "the result as one JSON object on stdout")
}
