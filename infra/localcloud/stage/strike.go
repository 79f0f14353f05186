package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Point is a moment of a run on the host.
type Point struct {
	Step  string        // whose beginning is in the run's log, durably: by its ID, as in the log
	Saves int           // and which has renamed so many files since: each is the record, or what the install path leads to
	Delay time.Duration // and has gone on for so long since
}

// ErrMissed says that the run ended, or never began, before its point came.
var ErrMissed = errors.New("the run did not come to that point")

// unitGroup is the control group of a run as the host's systemd names it.
const unitGroup = "/sys/fs/cgroup/system.slice/townsquare-upgrade.service/cgroup.procs"

// Strike waits for the next run on the host to come to the point and does do with the run's process.
// Without a delay the run is held there meanwhile, so that not one instruction lies between. Call it
// before the run is started, in a goroutine of its own. over ends the waiting.
func (s *Server) Strike(ctx context.Context, at Point, over <-chan struct{}, do func(pid int) error) error {
	pid, err := s.awaitRun(ctx, over)
	if err != nil {
		return err
	}
	var journal uint64 // the log's file descriptor, once the step's beginning is written there
	begun, saves := false, 0
	hit, done, gone := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	tr := &tracer{called: func(c call) bool {
		switch c.Number {
		case unix.SYS_WRITE:
			if line := c.text(c.Args[1], c.Args[2]); begins(line, at.Step) {
				journal = c.Args[0] + 1
			}
			return false
		case unix.SYS_FSYNC:
			begun = begun || journal == c.Args[0]+1
		case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
			if begun {
				saves++
			}
		default:
			return false
		}
		if !begun || saves < at.Saves {
			return false
		}
		close(hit)
		return true
	}}
	go func() { gone <- tr.follow(pid, done) }()
	select {
	case <-hit:
	case err := <-gone:
		return errors.Join(ErrMissed, err)
	}
	if at.Delay == 0 {
		err = do(pid)
		close(done)
		return errors.Join(err, <-gone)
	}
	close(done)
	if err := <-gone; err != nil {
		return err
	}
	time.Sleep(at.Delay)
	return do(pid)
}

// begins says whether a line of a log is a step's beginning.
func begins(line []byte, step string) bool {
	return bytes.HasPrefix(line, []byte("{")) && bytes.Contains(line, []byte(`"kind":"begin"`)) &&
		bytes.Contains(line, []byte(`"step":`+strconv.Quote(step)))
}

// awaitRun waits for a run's process; the pid is this computer's.
func (s *Server) awaitRun(ctx context.Context, over <-chan struct{}) (int, error) {
	path := s.Machine.Rootfs() + unitGroup
	for {
		if text, err := os.ReadFile(path); err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
			if pid, err := strconv.Atoi(first); err == nil && pid > 1 { // 0 would be this process's own group
				return pid, nil
			}
		}
		select {
		case <-over:
			return 0, fmt.Errorf("%w: it never began", ErrMissed)
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}
