package stage

import (
	"testing"
	"time"
)

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
