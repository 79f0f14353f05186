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
		Long: `Shows the installed version, whether it answers, the run in progress, and drift from the stack: files,
packages, units, accounts, SSH, the firewall, the site's address, file systems smaller than their volumes.
Waits for a server that is still booting. Changes nothing.

Whatever needs attention is listed, with what to type: a run that was left unfinished or failed, drift
(such as the firewall, a timer or the recovery after a power cut that is switched off), a setting that is a
risk, a version past its end of life or held by the skip list, updates that have waited for too long,
missing, old or unverified backups, notifications or heartbeats that do not arrive.

Exit codes: 0 healthy, or nothing is installed yet; 13 Mattermost is healthy and something needs attention;
1 an error, or Mattermost does not answer as it should; 2 not understood.`,
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
	for i, one := range status.Attention {
		if status.Attention[i].Hint = a.printer.Complete(one.Hint); one.Command != "" {
			status.Attention[i].Hint = a.printer.Command(one.Command)
		}
	}
	if status.Exit = statusExit(status); err != nil {
		status.Exit = phase.ExitError
	}
	if err := a.printer.Status(status); err != nil {
		return err
	}
	return exitWith(status.Exit)
}

// statusExit is the exit code for how a server is.
func statusExit(s ui.Status) int {
	switch {
	case len(s.Problems) > 0 && quiet(s.Running): // else it is between two versions
		return phase.ExitError
	case len(s.Attention) > 0:
		return phase.ExitAttention
	}
	return phase.ExitDone
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
	err = s.ask(ctx, []string{"status"}, request{Delivery: host.Delivery{Desired: s.target.delivery.Desired, SiteURL: s.target.delivery.SiteURL}, Compare: compare}, &status)
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
