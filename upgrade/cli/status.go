package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/ui"
)

func (a *app) status() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "How is the server?",
		Long: `Says which version is installed, whether it answers, what goes on, and what is not as the stack says
and first boot made it: files, packages, units, accounts, SSH, the firewall. On a server that is still
booting it says so and waits. Changes nothing.

Exit codes: 0 healthy, or nothing is installed yet; 1 an error, or Mattermost does not answer as it
should; 2 not understood. What differs from the stack is named, and is no error: see upgrade repair.`,
		Example: "  upgrade status --stack prod",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runStatus(cmd.Context(), &f)
		},
	}
	a.common(cmd, &f)
	return cmd
}

func (a *app) runStatus(ctx context.Context, f *targetFlags) error {
	status, err := a.askStatus(ctx, f, true)
	var booting *host.BootingError
	switch {
	case errors.As(err, &booting):
		status = ui.Status{Host: status.Host, Booting: true}
	case err != nil:
		return err
	}
	if err := a.printer.Status(status); err != nil {
		return err
	}
	if err != nil || len(status.Problems) > 0 && status.Running == "" {
		return exitWith(phase.ExitError)
	}
	return nil
}

// askStatus asks the server how it is, and, which takes longer, whether it is as its stack says.
func (a *app) askStatus(ctx context.Context, f *targetFlags, compare bool) (ui.Status, error) {
	var status ui.Status
	s, err := a.open(ctx, f)
	if err != nil {
		return status, err
	}
	defer s.close()
	a.printer.Busy("looking at the server")
	defer a.printer.Idle()
	err = s.ask(ctx, []string{"status"}, request{Delivery: host.Delivery{Desired: s.target.delivery.Desired}, Compare: compare}, &status)
	status.Host = s.target.name()
	return status, err
}

// name is what a person calls the server.
func (t target) name() string {
	if t.local {
		return "this machine"
	}
	return t.address.Host
}
