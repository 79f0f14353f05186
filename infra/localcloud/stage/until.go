package stage

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what a healthy machine does by itself, however slow the computer
// is: it ends the waiting for a machine that is dead, and judges nobody's speed.
const Patience = 20 * time.Minute

// Until tries again every 200 ms until what returns nil, and fails the test after limit.
func Until(t testing.TB, limit time.Duration, what func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := what()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v still: %v", limit, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Until is that with Patience, for what must happen before the program ends.
func (p *Process) Until(t testing.TB, what func() error) {
	t.Helper()
	Until(t, Patience, func() error {
		select {
		case <-p.ended:
			t.Fatalf("it ended early:\n%s", p.result)
		default:
		}
		return what()
	})
}
