package phase

import (
	"context"
	"fmt"
	"time"

	"townsquare/upgrade/internal/printable"
)

// Limited is a phase that must be over within a time, because people wait for it. Its context ends
// then; one that goes on all the same is stuck.
type Limited interface {
	Phase
	Limit(op *Operation) time.Duration
}

// grace is how long a step may go on after its context has ended.
const grace = 20 * time.Second

// within bounds ctx by limit, and begins to count for Stuck; 0 is no limit.
func (op *Operation) within(ctx context.Context, limit time.Duration, what string) (context.Context, context.CancelFunc) {
	if limit == 0 {
		op.due.Store(nil)
		return context.WithCancel(ctx)
	}
	due := time.Now().Add(limit + grace) // with its monotonic reading: the wall clock may be set meanwhile
	op.due.Store(&due)
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s took more than %s", what, printable.Duration(limit)))
}

// Stuck says that the step in progress goes on long after it should have ended: nothing but the end
// of the whole process can help. It may be asked from another goroutine.
func (op *Operation) Stuck() bool {
	due := op.due.Load()
	return due != nil && time.Now().After(*due)
}
