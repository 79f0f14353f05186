package phase

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// limitedStep is a step that people wait for.
type limitedStep struct{ undoStep }

func (limitedStep) Limit(*Operation) time.Duration { return time.Minute }

// The limits of steps are kept by the monotonic clock: one that sets the wall clock, such as NTP after a
// boot, ends no run.
func TestLimitIgnoresTheWallClock(t *testing.T) {
	op := &Operation{}
	_, cancel := op.within(t.Context(), time.Minute, "a step")
	defer cancel()
	if due := op.due.Load(); !strings.Contains(due.String(), " m=+") {
		t.Errorf("due at %s", due)
	}
}

// A step that heeds its context fails at its limit, and all goes back; one that does not is stuck,
// which is for whoever watches the process to end.
func TestLimit(t *testing.T) {
	for _, heeds := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w, op := newWorld()
			phases := w.phases()
			for i, p := range phases {
				if p.ID() == "swap" {
					phases[i] = limitedStep{p.(undoStep)}
				}
			}
			over := make(chan struct{})
			find(phases, "swap").run = func(ctx context.Context, _ *Operation) error {
				w.Active = "2"
				<-ctx.Done()
				if !heeds {
					<-over
				}
				return context.Cause(ctx)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := Run(t.Context(), phases, op)
				ended <- err
			}()
			time.Sleep(time.Minute + grace - time.Second)
			if op.Stuck() {
				t.Error("stuck already")
			}
			time.Sleep(2 * time.Second)
			if op.Stuck() == heeds {
				t.Errorf("heeds its context: %v, stuck: %v", heeds, op.Stuck())
			}
			close(over)
			err := <-ended
			var back *RolledBack
			if !errors.As(err, &back) || !strings.Contains(err.Error(), "more than 1 min") || w.Active != "1" || op.Stuck() {
				t.Errorf("%v, %+v", err, w)
			}
		})
	}
}
