package cli

import (
	"context"

	"github.com/spf13/cobra"

	"townsquare/upgrade/host"
	"townsquare/upgrade/notify"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

func (h *server) timersCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "timers enable|disable|list|sync",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := h.take()
			if err != nil {
				return err
			}
			answer, err := h.timers(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			return h.answer(answer)
		},
	}
}

// timers switches them on or off, or makes them what the configuration says, and tells how they are.
func (h *server) timers(ctx context.Context, what string, r request) (ui.Timers, error) {
	if what == "enable" {
		if _, err := h.deliver(r.Delivery, r.Who); err != nil {
			return ui.Timers{}, err
		}
		if err := h.install(); err != nil {
			return ui.Timers{}, err
		}
	}
	config, err := state.LoadConfig(h.path(state.ConfigFile))
	if err != nil {
		return ui.Timers{}, err
	}
	answer := ui.Timers{Configured: config.Timers, Window: config.Window}
	switch what {
	case "enable":
		answer.Changed, err = h.service.SetTimers(ctx, h.root, host.TimersOf(config))
	case "disable":
		answer.Changed, err = h.service.SetTimers(ctx, h.root, nil)
	case "sync":
		answer.Changed, _, err = h.syncTimers(ctx, config)
		return answer, err
	}
	if err != nil {
		return answer, err
	}
	answer.Timers, err = h.service.Timers(ctx, h.root)
	return answer, err
}

// syncTimers makes the timers what the configuration says; where it says nothing, those that someone
// has switched on keep to the rest of it.
func (h *server) syncTimers(ctx context.Context, config state.Config) (changed []string, on bool, err error) {
	on = host.HasTimers(h.root)
	if config.Timers != nil {
		on = *config.Timers
	}
	var want []host.Timer
	if on {
		want = host.TimersOf(config)
	}
	changed, err = h.service.SetTimers(ctx, h.root, want)
	return changed, on, err
}

// upkeep adds to a status what the host does by itself.
func (h *server) upkeep(ctx context.Context, s *ui.Status) error {
	var err error
	if s.Timers, err = h.service.Timers(ctx, h.root); err != nil {
		return err
	}
	waits, err := state.LoadPending(h.path(state.PendingFile))
	if err != nil {
		return err
	}
	s.Pending = waits
	ledger, err := notify.Read(h.path(notifyLedger))
	s.Untold = ledger.Failed
	return err
}
