package network

import (
	"context"
	"fmt"
	"time"
)

// settle is a limit for what is broken, not for what is slow: a busy computer needs many seconds for
// what an idle one does in milliseconds.
const settle = 2 * time.Minute

// Settle waits until done says so, which it asks every 10 ms: for what the kernel, or a process that
// was told to, does by itself. The error is ctx's, or says that two minutes were not enough.
func Settle(ctx context.Context, done func() bool) error {
	deadline := time.Now().Add(settle)
	for !done() {
		if time.Now().After(deadline) {
			return fmt.Errorf("not so after %s", settle)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
