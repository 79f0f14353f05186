package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a waiting process tries again. flock(2) could block in the kernel instead, but then an
// interrupted `make demo` would sit there until the other build ends.
const lockPoll = 200 * time.Millisecond

// lock takes the advisory lock on path, creating the file, and returns what releases it. The holder writes who it
// is into the file, so that whoever waits can say for whom; onWait is called once with that text, and only if the
// lock was not free. The kernel drops the lock when the process dies, so a crash never leaves one behind.
// The error is ctx's if it ended first.
func lock(ctx context.Context, path, holder string, onWait func(holder string)) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for waited := false; ; waited = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !waited && onWait != nil {
			text, _ := os.ReadFile(path)
			onWait(strings.TrimSpace(string(text)))
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for %s: %w", path, context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
	// A lock whose file cannot be written is still a lock: the text is only for people.
	if f.Truncate(0) == nil {
		fmt.Fprintf(f, "%s (process %d)\n", holder, os.Getpid())
	}
	return func() { f.Close() }, nil
}
