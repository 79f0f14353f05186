package cli

import (
	"context"

	"github.com/spf13/cobra"

	"townsquare/upgrade/ui"
)

func (a *app) timers() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "timers enable|disable|list",
		Short: "Let the server look after itself, by systemd timers",
		Long: `Installs systemd timers on the server that look for updates daily, install them in the server's
window, and make and verify backups where it has a repository: with no CI at all. On a server that
pulumi up made they are on from the first apply, unless its setting townsquare:timers is false.

What runs by itself keeps to the server's window and freeze days, takes no step larger than
townsquare:automatic says, and leaves its record in history.

Exit codes: 0 done, 1 an error, 2 not understood.`,
		Example: "  upgrade timers list --stack prod\n  upgrade timers enable --local",
		Args:    noWords,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for what, short := range map[string]string{
		"enable":  "Install the timers and switch them on; nothing is changed where they are",
		"disable": "Switch the timers off and remove them",
		"list":    "Show when each comes next, and how the last one ended",
	} {
		var f targetFlags
		sub := &cobra.Command{Use: what, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runTimers(cmd.Context(), &f, what)
		}}
		a.common(sub, &f)
		cmd.AddCommand(sub)
	}
	return cmd
}

// noWords names the right words where a wrong one was typed.
func noWords(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args[0])
}

func (a *app) runTimers(ctx context.Context, f *targetFlags, what string) error {
	s, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer s.close()
	var answer ui.Timers
	if err := s.ask(ctx, []string{"timers", what}, request{Delivery: s.target.delivery, Who: who()}, &answer); err != nil {
		return err
	}
	return a.printer.Timers(answer, what)
}

// syncTimers makes the timers what the configuration says, on a server that needs nothing else, and returns those
// that it changed.
func (a *app) syncTimers(ctx context.Context, s *session) ([]string, error) {
	var answer ui.Timers
	err := s.ask(ctx, []string{"timers", "sync"}, request{Who: who()}, &answer)
	return answer.Changed, err
}
