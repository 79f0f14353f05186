package cli

import (
	"context"

	"github.com/spf13/cobra"

	"townsquare/upgrade/state"
)

func (a *app) history() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "history",
		Short: "What was done before?",
		Long: `Lists the runs on this server, the newest first, with how each ended and its downtime.
Changes nothing.

Exit codes: 0 done, 1 an error, 2 not understood.`,
		Example: "  upgrade history --stack prod",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runHistory(cmd.Context(), &f)
		},
	}
	a.common(cmd, &f)
	return cmd
}

func (a *app) runHistory(ctx context.Context, f *targetFlags) error {
	status, err := a.askStatus(ctx, f, false)
	if err != nil {
		return err
	}
	newest := make([]state.Finished, 0, len(status.History))
	for i := len(status.History) - 1; i >= 0; i-- {
		newest = append(newest, status.History[i])
	}
	return a.printer.History(newest)
}
