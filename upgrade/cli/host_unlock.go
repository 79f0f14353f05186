package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/host"
)

// goneWithin is how long a holder may take to notice that its lock was taken, and to put back what
// it began, before unlock stops waiting for it.
const goneWithin = time.Minute

// unlockAnswer says whose lock it was.
type unlockAnswer struct {
	Locked bool         `json:"locked"` // by someone alive, when it was taken away
	Found  bool         `json:"found"`  // there was a lock at all
	Holder *host.Holder `json:"holder,omitempty"`
	Gone   bool         `json:"gone"` // the holder has ended
}

func (h *server) unlockCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:  "unlock",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			holder, held, err := host.Unlock(h.path(host.LockPath), force)
			if err != nil {
				return err
			}
			answer := unlockAnswer{Locked: held, Found: holder != host.Holder{}, Gone: true}
			if answer.Found {
				answer.Holder = &holder
			}
			if held {
				if id, err := h.running(cmd.Context()); holder.Hangs() && err == nil && id == holder.Run {
					if err := h.service.End(cmd.Context()); err != nil { // it cannot notice by itself
						return err
					}
				}
				answer.Gone = holder.WaitGone(cmd.Context(), goneWithin)
			}
			return h.answer(answer)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "")
	return cmd
}

// cancelAnswer names the run that was asked to end.
type cancelAnswer struct {
	Run string `json:"run"` // empty: none was in progress
}

func (h *server) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "cancel",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := h.running(cmd.Context())
			if err == nil && id != "" {
				err = h.service.Interrupt(cmd.Context())
				if now, e := h.running(cmd.Context()); err != nil && e == nil && now == "" {
					err = nil // it ended by itself meanwhile
				}
			}
			return errors.Join(err, h.answer(cancelAnswer{Run: id}))
		},
	}
}
