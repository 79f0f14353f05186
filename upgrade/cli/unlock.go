package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
)

func (a *app) unlock() *cobra.Command {
	var (
		f     targetFlags
		force bool
	)
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Free the server for the next run",
		Long: `Removes a lock whose holder is gone. The lock of a living run is removed after a yes, or with --force:
the run notices within seconds, stops, and rolls back; one that hangs is ended, and the server rolls it
back. To end a run that works as it should, better
type: upgrade cancel.

Exit codes: 0 free, 1 an error, 2 not understood, 11 a run is in progress.`,
		Example: "  upgrade unlock --stack prod",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runUnlock(cmd.Context(), &f, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "do not ask: take the lock away also from a living run")
	a.common(cmd, &f)
	return cmd
}

func (a *app) runUnlock(ctx context.Context, f *targetFlags, force bool) error {
	s, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer s.close()
	var answer unlockAnswer
	if err := s.ask(ctx, unlockWords(force), nil, &answer); err != nil {
		var remote *remoteError
		if force || !errors.As(err, &remote) || remote.code != phase.ExitLocked || !isTerminal(a.stdin) {
			return err
		}
		a.printer.Say("%s.", remote.text)
		if err := a.agree(ctx, "Take the lock away? Its run is ended, and everything put back"); err != nil {
			return err
		}
		if err := s.ask(ctx, unlockWords(true), nil, &answer); err != nil {
			return err
		}
	}
	return a.printer.Unlocked(answer, answer.Found, answer.Locked, answer.Gone, answer.Holder)
}

func unlockWords(force bool) []string {
	if force {
		return []string{"unlock", "--force"}
	}
	return []string{"unlock"}
}
