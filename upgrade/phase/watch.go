package phase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Watch looks at the new version for a while, with its users on it.
type Watch struct{}

// Title says what a person reads.
func (Watch) Title() string { return "watch" }

// Describe says it for a plan.
func (Watch) Describe(op *Operation) string {
	return fmt.Sprintf("for %s: one process, no restart, good answers, plugins as before, no new errors, the public address", printable.Duration(watchFor(op)))
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
	began, lastPing, bad, blind, warned := time.Now(), time.Now(), 0, 0, false
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
			if blind++; blind >= badPings {
				return err
			}
			continue
		}
		blind = 0
		if byHand(first, st) {
			op.Warn("the service was restarted by hand; watching goes on")
			first = st
			continue
		}
		if st.Crashed(first.Restarts) || st.PID != first.PID {
			return blame(ctx, op, fmt.Errorf("%w with status %d (%s), %s after users were let in",
				mattermost.ErrExited, st.Code, st.Result, printable.Duration(time.Since(run.OpenedAt).Round(100*time.Millisecond))))
		}
		if time.Since(lastPing) < time.Second {
			continue
		}
		lastPing = time.Now()
		answer, err := h.Ping(ctx)
		switch {
		case err != nil && (errors.Is(err, mattermost.ErrDependency) || !answers(ctx, op)):
			if !warned {
				op.Warn("%v: the new version is not to blame", err)
			}
			warned, bad = true, 0
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
	return lookAround(ctx, op, warned)
}

// byHand says whether someone restarted the service in order: another process, and the one before
// ended well, and not by systemd's own decision.
func byHand(before, now mattermost.Status) bool {
	return now.PID != 0 && now.PID != before.PID && now.Restarts == before.Restarts && now.Result == "success" && now.Code == 0
}

// answers says whether the database answers us.
func answers(ctx context.Context, op *Operation) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err := op.Facts.Database.AppliedMigrations(ctx)
	return err == nil
}
