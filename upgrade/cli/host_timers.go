package cli

import (
	"context"

	"github.com/spf13/cobra"

	"townsquare/upgrade/drift"
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
		if _, err := h.deliver(r); err != nil {
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
	want := host.WantedTimers(h.root, config)
	if what == "disable" { // they are off on request, until the next apply
		want = nil
	}
	answer.Timers, err = h.service.Timers(ctx, h.root, want)
	return answer, err
}

// ranCommand is called by the services that timers start, when they end.
func (h *server) ranCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "ran SERVICE",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return h.service.NoteRun(cmd.Context(), h.root, args[0], h.app.env("SERVICE_RESULT"))
		},
	}
}

// syncTimers sets the timers by the configuration; where it does not mention them, those that were
// enabled keep to the rest of it.
func (h *server) syncTimers(ctx context.Context, config state.Config) (changed []string, on bool, err error) {
	want := host.WantedTimers(h.root, config)
	changed, err = h.service.SetTimers(ctx, h.root, want)
	return changed, len(want) > 0, err
}

// upkeep adds to a status the unattended runs, and what they wait for.
func (h *server) upkeep(ctx context.Context, s *ui.Status, own drift.Own) error {
	var err error
	if s.Timers, err = h.service.Timers(ctx, h.root, own.Timers); err != nil {
		return err
	}
	waits, err := state.LoadPending(h.path(state.PendingFile))
	if err != nil {
		return err
	}
	s.Pending = waits
	ledger, err := notify.Read(h.path(notifyLedger))
	s.Untold, s.Unheard = ledger.Failed, ledger.Unheard
	return err
}
