package cli

import (
	"context"

	"github.com/spf13/cobra"

	"townsquare/upgrade/ui"
)

func (a *app) watching() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "follow",
		Short: "Watch the run in progress",
		Long: `Shows the run in progress until it ends, and starts nothing. Ctrl-C ends the watching, not the run.

Exit codes: that of the run; 0 without a run in progress, 1 an error, 2 not understood.`,
		Example: "  upgrade follow --stack prod",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runFollow(cmd.Context(), &f)
		},
	}
	a.common(cmd, &f)
	return cmd
}

func (a *app) runFollow(ctx context.Context, f *targetFlags) error {
	s, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer s.close()
	var now ui.Status
	if err := s.ask(ctx, []string{"status"}, nil, &now); err != nil {
		return err
	}
	if now.Running == "" {
		return a.printer.NoRun(cancelAnswer{})
	}
	report, err := s.follow(ctx, now.Running)
	if err != nil {
		return err
	}
	if err := a.printer.Report(report); err != nil {
		return err
	}
	return exitWith(report.Exit)
}
