package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
)

// terminal is a pseudo terminal at which a line was typed.
func terminal(t *testing.T, line string) *os.File {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	if _, err := ours.WriteString(line); err != nil {
		t.Fatal(err)
	}
	return theirs
}

// hangs has a run of the host hold its lock that gives no sign of life; the channel is closed when
// it is ended.
func (h *fakeHost) hangs() (ended chan struct{}) {
	h.t.Helper()
	const run = "20261122T010000Z-apply"
	path := filepath.Join(h.root, host.LockPath)
	lock, err := host.TakeLock(path, host.Holder{Who: "ada@laptop", Why: "apply to 9.10.0", Run: run}, func(error) {})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { lock.Release() })
	ended = make(chan struct{})
	h.unit, h.cancel = "Townsquare upgrade "+run, func(error) { close(ended) }
	h.stale()
	return ended
}

// stale takes the sign of life back that a living process has given since.
func (h *fakeHost) stale() {
	h.t.Helper()
	path := filepath.Join(h.root, host.LockPath)
	old := `{"who":"ada@laptop","why":"apply to 9.10.0","run":"20261122T010000Z-apply","since":"2026-11-22T01:00:00Z","beat":"2026-11-22T01:00:04Z"}`
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// A holder that hangs cannot notice that its lock was taken: its run is ended for it.
func TestUnlockEndsARunThatHangs(t *testing.T) {
	h := newFakeHost(t)
	ended := h.hangs()
	wants(t, h.upgrade(t.Context(), "unlock"), phase.ExitLocked, "ada@laptop is at work", "it hangs", "upgrade unlock --force")
	h.stale()
	wants(t, h.upgrade(t.Context(), "unlock", "--force"), 0, "The server is free")
	select {
	case <-ended:
	default:
		t.Error("its run was not ended")
	}
}

// At a terminal it says whose lock it is and asks; only a yes takes it away.
func TestUnlockAsks(t *testing.T) {
	for line, yes := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "\x04": false} {
		h := newFakeHost(t)
		ended := h.hangs()
		h.typed = line
		got := h.upgrade(t.Context(), "unlock")
		if yes {
			wants(t, got, 0, "ada@laptop is at work", "Take the lock away?", "The server is free")
		} else {
			wants(t, got, phase.ExitError, "ada@laptop is at work", "Take the lock away?", "nothing was changed")
		}
		select {
		case <-ended:
			if !yes {
				t.Errorf("%q took the lock away", line)
			}
		default:
			if yes {
				t.Errorf("%q did not end the run", line)
			}
		}
	}
}
