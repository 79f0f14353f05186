package network

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		after := func(d time.Duration) func() bool {
			return func() bool { return time.Since(began) >= d }
		}
		if err := Settle(t.Context(), after(100*time.Second)); err != nil {
			t.Errorf("what a busy computer needs 100 s for: %v", err)
		}
		began = time.Now()
		if err := Settle(t.Context(), after(time.Hour)); err == nil || time.Since(began) > settle+time.Second {
			t.Errorf("what never ends: %v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		cancel(gone)
		if err := Settle(ctx, after(2*time.Hour)); !errors.Is(err, gone) {
			t.Errorf("given up: %v", err)
		}
		if err := Settle(ctx, after(0)); err != nil {
			t.Errorf("what is so already: %v", err)
		}
	})
}
