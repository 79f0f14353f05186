package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

type runOptions struct {
	id        string
	who       string
	operation string
	options   string // phase.Options as JSON

	repair bool // put back what the record shows as unfinished, and nothing else
	resume bool // go on behind the reboot that the run asked for
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
	cmd.Flags().StringVar(&o.id, "id", "", "")
	cmd.Flags().StringVar(&o.who, "who", "root", "")
	cmd.Flags().StringVar(&o.operation, "operation", "", "")
	cmd.Flags().StringVar(&o.options, "options", "{}", "")
	cmd.Flags().BoolVar(&o.repair, "repair", false, "")
	cmd.Flags().BoolVar(&o.resume, "resume", false, "")
	return cmd
}

// run is the run itself, in its unit. Its log is all that the outside sees; the unit's own journal
// gets the outcome. SIGTERM ends ctx, and Run puts everything back.
func (h *server) run(ctx context.Context, o runOptions) error {
	supervisor := host.FindSupervisor()
	if err := supervisor.Ready(); err != nil {
		return err
	}
	journal, err := phase.OpenJournal(h.path(phase.JournalDir), o.id, h.app.redactor)
	if err != nil {
		return err
	}
	defer journal.Close()
	emit := h.write(journal)
	defer deafen()()
	op, sequence, err := h.prepare(o, emit)
	if err != nil {
		report := phase.Stillborn(o.id, o.operation, err)
		emit(phase.Event{Time: time.Now().UTC(), Run: o.id, Kind: phase.Result, Text: report.Error, Data: report})
		return err
	}
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go supervisor.Pulse(alive, op.Stuck)
	op.Lock = h.lock(o.who, o.id)
	op.Leave = func() bool { return h.service.Stopping(context.WithoutCancel(ctx)) }
	op.Guard = func(ctx context.Context, run *state.Run) error {
		return h.service.Guard(ctx, h.root, run.Unit)
	}
	work := phase.Run
	switch {
	case o.repair:
		work = phase.Repair
	case o.resume:
		work = phase.Resume
	}
	_, err = work(ctx, sequence.All, op)
	h.prune()
	h.startTelling(context.WithoutCancel(ctx), o.id)
	return err
}

// prepare makes the operation that was asked for.
func (h *server) prepare(o runOptions, emit func(phase.Event)) (*phase.Operation, phase.Sequence, error) {
	operation := h.operation
	if o.repair || o.resume {
		operation = h.unfinished
	}
	op, err := operation(o.id, o.operation, emit)
	if err != nil {
		return nil, phase.Sequence{}, err
	}
	if err := json.Unmarshal([]byte(o.options), &op.Options); err != nil {
		return nil, phase.Sequence{}, fmt.Errorf("read the options: %w", err)
	}
	sequence, err := h.phases(o.operation)
	return op, sequence, err
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
