package phase

import (
	"context"
	"fmt"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Watch looks at the new version for a while, with its users on it.
type Watch struct{}

// Title says what a person reads.
func (Watch) Title() string { return "watch" }

// Describe says it for a plan.
func (Watch) Describe(op *Operation) string {
	return fmt.Sprintf("for %s: one process, no restart, good answers, plugins as before", watchFor(op))
}

func watchFor(op *Operation) time.Duration {
	switch {
	case op.Watch > 0:
		return op.Watch
	case op.Config.Watch > 0:
		return op.Config.Watch
	default:
		return state.DefaultWatch
	}
}

// badPings is how many bad answers in a row, a second apart, make a version bad.
const badPings = 5

// Run fails when the process dies or keeps answering badly.
func (Watch) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	s, h := service(run), health(run)
	first, err := s.Status(ctx)
	if err != nil {
		return err
	}
	total := watchFor(op)
	began, lastPing, bad := time.Now(), time.Now(), 0
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < total {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		st, err := s.Status(ctx)
		if err != nil {
			return err
		}
		if st.Crashed(first.Restarts) || st.PID != first.PID {
			return blame(ctx, op, fmt.Errorf("%w with status %d (%s), %s after users were let in",
				mattermost.ErrExited, st.Code, st.Result, time.Since(run.OpenedAt).Round(100*time.Millisecond)))
		}
		if time.Since(lastPing) < time.Second {
			continue
		}
		lastPing = time.Now()
		answer, err := h.Ping(ctx)
		switch {
		case err != nil:
			if bad++; bad >= badPings {
				return blame(ctx, op, fmt.Errorf("%w any more: %w", mattermost.ErrNotReady, err))
			}
		case answer.Build != run.To:
			return blame(ctx, op, fmt.Errorf("%w: it answers as %s, not %s", errWrong, answer.Build, run.To))
		default:
			bad = 0
		}
		op.Progress(int64(time.Since(began).Seconds()), int64(total.Seconds()), "seconds")
	}
	return lookAround(ctx, op)
}

// lookAround reports what is no reason to go back, and yet should be known.
func lookAround(ctx context.Context, op *Operation) error {
	f := op.Facts
	if f.Installed() {
		after, err := f.Config.Reread()
		if err != nil {
			return err
		}
		plugins, err := after.ListPlugins(f.Link + "/plugins")
		if err != nil {
			return err
		}
		for _, id := range mattermost.MissingPlugins(f.Plugins, plugins) {
			op.Warn("plugin %s is gone or switched off since the upgrade", id)
		}
		for _, msg := range service(op.Record.Run).NewErrors(ctx, op.Record.Run.OpenedAt) {
			op.Warn("new in the server's log: %s (journalctl -u %s)", msg, f.Unit.Name)
		}
	}
	url := op.Config.URL
	if url == "" {
		url = f.SiteURL
	}
	if url != "" {
		if answer, err := mattermost.Public(ctx, url); err != nil {
			op.Warn("%s does not answer from this host: %v", url, err)
		} else if answer.Build != op.Record.Run.To {
			op.Warn("%s answers as %s: does it lead to another server?", url, answer.Build)
		}
	}
	return nil
}
