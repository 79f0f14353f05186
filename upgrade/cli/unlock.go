package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) unlock() *cobra.Command {
	var (
		f     targetFlags
		force bool
	)
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Free the server for the next run",
		Long: `Takes away a lock that nobody holds any more. A lock that a living run holds is only taken away
with --force: the run notices within seconds, stops, and puts everything back. To end a run that
works as it should, better type: upgrade cancel.

Exit codes: 0 free, 1 an error, 2 not understood, 11 someone is at work.`,
		Example: "  upgrade unlock --stack prod",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runUnlock(cmd.Context(), &f, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "take the lock away from a living run")
	a.common(cmd, &f)
	return cmd
}

func (a *app) runUnlock(ctx context.Context, f *targetFlags, force bool) error {
	s, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer s.close()
	words := []string{"unlock"}
	if force {
		words = append(words, "--force")
	}
	var answer unlockAnswer
	err = s.ask(ctx, words, nil, &answer)
	if err != nil {
		return err
	}
	return a.printer.Unlocked(answer, answer.Found, answer.Locked, answer.Gone, answer.Holder)
}
