package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

func trimLog(name string) string { return strings.TrimSuffix(name, ".jsonl") }

func (h *server) eventsCommand() *cobra.Command {
	var (
		run    string
		skip   int
		follow bool
	)
	cmd := &cobra.Command{
		Use:  "events",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return h.events(cmd.Context(), run, skip, follow)
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "")
	cmd.Flags().IntVar(&skip, "skip", 0, "")
	cmd.Flags().BoolVar(&follow, "follow", false, "")
	return cmd
}

// askEvery is the pause between two questions to systemd whether the run is still there.
const askEvery = 2 * time.Second

// secondChance is how long the unit that stands in for one that could not put a run back may take to
// say so in the run's log. It goes on afterwards, but whoever follows has waited enough.
const secondChance = 30 * time.Second

// left tells whether the record still has a run.
func (h *server) left(run string) bool {
	record, err := state.Load(h.path(state.Path))
	return err == nil && record.Run != nil && record.Run.ID == run
}

// events copies a run's log to stdout; with follow, until its result.
func (h *server) events(ctx context.Context, run string, skip int, follow bool) error {
	path, err := phase.JournalPath(h.path(phase.JournalDir), run)
	if err != nil {
		return err
	}
	asked, seen := time.Time{}, time.Now()
	alive := func(ctx context.Context) (bool, error) {
		if !follow {
			return false, nil
		}
		if time.Since(asked) < askEvery {
			return true, nil
		}
		id, err := h.running(ctx)
		asked = time.Now()
		if id == run {
			seen = asked
		}
		return id == run || asked.Sub(seen) < secondChance && h.left(run), err
	}
	err = phase.Follow(ctx, path, skip, alive, h.app.stdout)
	if errors.Is(err, phase.ErrSilent) && follow {
		return h.silent(run)
	}
	if errors.Is(err, phase.ErrSilent) && !follow {
		if _, e := os.Stat(path); errors.Is(e, fs.ErrNotExist) {
			return e
		}
		return nil
	}
	if err == nil && follow {
		return h.gone(ctx, run)
	}
	return err
}

// gone waits for the end of the unit of a run that has told its result, so that the next command
// does not take it for a run in progress. At most 10 s: more would hide the result.
func (h *server) gone(ctx context.Context, run string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		id, err := h.running(ctx)
		if err != nil || id != run {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// silent stands in for the result of a run that ended without one, and whose unit could not put it
// back either: as long as the record has it, the service may be down.
func (h *server) silent(run string) error {
	record, err := state.Load(h.path(state.Path))
	if err != nil {
		return err
	}
	err = phase.ErrSilent
	if record.Run != nil {
		err = &phase.NotRolledBack{Cause: phase.ErrSilent, Undo: errors.New("what it left is still in " + state.Path)}
	}
	report := phase.Stillborn(run, phase.OperationOf(run), err)
	h.lines()(phase.Event{Time: time.Now().UTC(), Run: run, Kind: phase.Result, Text: report.Error, Data: report})
	return nil
}
