package cli

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

type runOptions struct {
	id    string
	who   string
	to    string
	retry bool
	watch time.Duration

	repair bool // put back what the record shows as unfinished, and nothing else
}

func (h *server) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:  "run",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return h.run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.id, "id", phase.NewID("apply", time.Now()), "")
	cmd.Flags().StringVar(&o.who, "who", "root", "")
	cmd.Flags().StringVar(&o.to, "to", "", "")
	cmd.Flags().BoolVar(&o.retry, "retry-failed", false, "")
	cmd.Flags().BoolVar(&o.repair, "repair", false, "")
	cmd.Flags().DurationVar(&o.watch, "watch", 0, "")
	return cmd
}

// run is the run itself, in its unit. Its log is all that the outside sees; the unit's own journal
// gets the outcome. SIGTERM ends ctx, and Run puts everything back.
func (h *server) run(ctx context.Context, o runOptions) error {
	journal, err := phase.OpenJournal(h.path(phase.JournalDir), o.id, h.app.redactor)
	if err != nil {
		return err
	}
	defer journal.Close()
	emit := h.write(journal)
	defer deafen()()
	op, err := h.operation(o.id, "apply", emit)
	if err != nil {
		report := phase.Stillborn(o.id, "apply", err)
		emit(phase.Event{Time: time.Now().UTC(), Run: o.id, Kind: phase.Result, Text: report.Error, Data: report})
		return err
	}
	op.To, op.Retry = o.to, o.retry
	if o.watch != 0 {
		op.Watch = o.watch
	}
	op.Lock = h.lock(o.who, o.id)
	op.Leave = func() bool { return h.service.Stopping(context.WithoutCancel(ctx)) }
	op.Guard = func(ctx context.Context, run *state.Run) error {
		return h.service.Guard(ctx, h.root, run.Unit)
	}
	if o.repair {
		_, err = phase.Repair(ctx, h.apply(), op)
	} else {
		_, err = phase.Run(ctx, h.apply(), op)
	}
	h.prune()
	return err
}

// keepJournals is how many logs of runs a host keeps; the record's history is as long.
const keepJournals = 100

// prune removes the oldest logs. Their names sort by time.
func (h *server) prune() {
	dir := h.path(phase.JournalDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for i := 0; i < len(entries)-keepJournals; i++ {
		if path, err := phase.JournalPath(dir, trimLog(entries[i].Name())); err == nil {
			_ = os.Remove(path)
		}
	}
}
