package cli

import (
	"context"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
)

func (a *app) cancel() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "cancel",
		Short: "End the run in progress and roll it back",
		Long: `Asks the run in progress to end, and shows how it is rolled back. A run whose new version is
kept already ends as it is.

Exit codes: 0 ended and rolled back, or there was none; 1 an error, 2 not understood,
5 the rollback failed.`,
		Example: "  upgrade cancel --stack prod",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runCancel(cmd.Context(), &f)
		},
	}
	a.common(cmd, &f)
	return cmd
}

func (a *app) runCancel(ctx context.Context, f *targetFlags) error {
	s, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer s.close()
	var answer cancelAnswer
	if err := s.ask(ctx, []string{"cancel"}, nil, &answer); err != nil {
		return err
	}
	if answer.Run == "" {
		return a.printer.NoRun(answer)
	}
	report, err := s.follow(ctx, answer.Run)
	if err != nil {
		return err
	}
	if err := a.printer.Report(report); err != nil {
		return err
	}
	if report.Exit == phase.ExitInterrupted {
		return nil // what was asked for
	}
	return exitWith(report.Exit)
}
