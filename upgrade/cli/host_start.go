package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// startAnswer says which run to follow.
type startAnswer struct {
	Run      string `json:"run"`
	Attached bool   `json:"attached"` // it was in progress already
}

func (h *server) startCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "start",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := h.take()
			if err != nil {
				return err
			}
			answer, err := h.start(cmd.Context(), r)
			if err != nil {
				return err
			}
			return h.answer(answer)
		},
	}
}

// start starts a run as a unit of its own, or names the one that is in progress.
func (h *server) start(ctx context.Context, r request) (startAnswer, error) {
	if id, err := h.running(ctx); err != nil || id != "" {
		return startAnswer{Run: id, Attached: true}, err
	}
	if _, err := h.deliver(r); err != nil {
		return startAnswer{}, err
	}
	if err := h.install(); err != nil {
		return startAnswer{}, err
	}
	if _, err := h.phases(r.Operation); err != nil {
		return startAnswer{}, err
	}
	id, err := h.freshID(r.Operation, time.Now())
	if err != nil {
		return startAnswer{}, err
	}
	options, err := json.Marshal(r.Options)
	if err != nil {
		return startAnswer{}, err
	}
	argv := []string{h.self, "host", "run", "--id", id, "--who", r.Who, "--operation", r.Operation, "--options", string(options)}
	if r.Repair {
		argv = append(argv, "--repair")
	}
	err = h.service.Start(ctx, id, argv, h.self+" host recover --run "+id)
	if errors.Is(err, host.ErrRunning) {
		if id, err = h.running(ctx); err == nil && id != "" {
			return startAnswer{Run: id, Attached: true}, nil
		}
		return startAnswer{}, errors.Join(host.ErrRunning, err)
	}
	return startAnswer{Run: id}, err
}

// freshID names a run as none was named before, also when two begin in the same second.
func (h *server) freshID(operation string, at time.Time) (string, error) {
	for ; ; at = at.Add(time.Second) {
		id := phase.NewID(operation, at)
		path, err := phase.JournalPath(h.path(phase.JournalDir), id)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return id, nil
		} else if err != nil {
			return "", err
		}
	}
}

// install puts this program where the unit looks for it. Over SSH it is there already; with
// --local it may have been started from anywhere. A newer one stays, and so does the one of a recovery
// that holds the lock.
func (h *server) install() error {
	if _, err := state.Load(h.path(state.Path)); errors.Is(err, state.ErrNewer) {
		return &olderError{err} // its own upgrader must stay
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return host.Install(self, h.self, func() error {
		if ours, theirs := versionOf(self), versionOf(h.self); ours.Time.Before(theirs.Time) {
			return &olderError{fmt.Errorf("it is %s, and this one %s", theirs, ours)}
		}
		holder, held, err := host.ReadLock(h.path(host.LockPath))
		if held {
			return &host.LockedError{Holder: holder}
		}
		return err
	})
}
