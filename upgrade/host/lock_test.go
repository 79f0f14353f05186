package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func never(t *testing.T) func(error) {
	return func(err error) { t.Errorf("the lock was lost: %v", err) }
}

func release(t *testing.T, l *Lock) {
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// Who wrote nothing down is no run of ours that hangs.
func TestLockOfSomeoneElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	other, err := openLocked(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = TakeLock(path, Holder{Who: "bob"}, never(t))
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Holder.Hangs() {
		t.Fatalf("error is %v", err)
	}
	if text := err.Error() + locked.Hint() + locked.Holder.String(); strings.Contains(text, "00:00") || !strings.Contains(text, "lslocks") {
		t.Errorf("it says %q", text)
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := TakeLock(path, Holder{Who: "ada@laptop", Why: "apply to 9.10.0", Run: "r"}, never(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = TakeLock(path, Holder{Who: "bob"}, never(t))
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("error is %v", err)
	}
	for _, part := range []string{"ada@laptop", "apply to 9.10.0"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if !strings.Contains(locked.Hint(), "upgrade unlock") {
		t.Errorf("hint is %q", locked.Hint())
	}
	if err := errors.Join(lock.Release(), lock.Release()); err != nil {
		t.Fatal(err)
	}
	again, err := TakeLock(path, Holder{Who: "bob"}, never(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}

// A file that a crash or a power cut left behind locks nothing.
func TestLeftLockIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	left := `{"who":"ada@laptop","why":"apply","pid":1,"boot_id":"another"}`
	if err := os.WriteFile(path, []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, held, err := ReadLock(path); err != nil || held || h.Who != "ada@laptop" {
		t.Errorf("read %+v, held %v, error %v", h, held, err)
	}
	lock, err := TakeLock(path, Holder{Who: "bob"}, never(t))
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, lock)
	if h, held, err := ReadLock(path); err != nil || !held || h.Who != "bob" {
		t.Errorf("read %+v, held %v, error %v", h, held, err)
	}
}

// Of a lock from before the boot nothing is left; that of this boot is its holder's, though it died.
func TestSweepLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	_, boot := Process()
	for left, want := range map[string]bool{
		`{"who":"ada@laptop","why":"apply","pid":1,"boot_id":"another"}`: false,
		`{"who":"ada@la`: false, // the power was cut in the middle of a beat
		`{"who":"ada@laptop","why":"apply","pid":1,"boot_id":"` + boot + `"}`: true,
	} {
		if err := os.WriteFile(path, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := SweepLock(path); err != nil {
			t.Errorf("%s: %v", left, err)
		}
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: still there: %v, want %v", left, err == nil, want)
		}
	}
	_ = os.Remove(path)
	if err := SweepLock(path); err != nil {
		t.Errorf("without a lock: %v", err)
	}
	lock, err := TakeLock(path, Holder{Who: "bob"}, never(t))
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, lock)
	if err := SweepLock(path); err != nil || !same(lock.file, path) {
		t.Errorf("a living holder lost its lock (%v)", err)
	}
}

func TestUnlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if h, held, err := Unlock(path, false); err != nil || held || h != (Holder{}) {
		t.Errorf("no lock: %+v, %v, %v", h, held, err)
	}
	lost := make(chan error, 1)
	lock, err := TakeLock(path, Holder{Who: "ada"}, func(err error) { lost <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, lock)
	var locked *LockedError
	if _, held, err := Unlock(path, false); !held || !errors.As(err, &locked) {
		t.Errorf("a living holder lost its lock without force: %v", err)
	}
	if _, held, err := Unlock(path, true); !held || err != nil {
		t.Errorf("with force: held %v, error %v", held, err)
	}
	select {
	case err := <-lost:
		if !errors.Is(err, ErrLockLost) {
			t.Errorf("cause is %v", err)
		}
	case <-time.After(3 * beatEvery):
		t.Fatal("the holder did not notice")
	}
	next, err := TakeLock(path, Holder{Who: "bob"}, never(t))
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, next)
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if h, held, err := ReadLock(path); err != nil || !held || h.Who != "bob" {
		t.Errorf("the old holder freed the new one's lock: %+v, %v, %v", h, held, err)
	}
}

// TestOneOfManyWins lets several contenders race for one lock.
func TestOneOfManyWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	won := make(chan *Lock, 20)
	for i := range 20 {
		go func() {
			lock, err := TakeLock(path, Holder{Who: fmt.Sprint(i)}, func(error) {})
			var locked *LockedError
			if err != nil && !errors.As(err, &locked) {
				t.Error(err)
			}
			won <- lock
		}()
	}
	winners := 0
	for range 20 {
		if lock := <-won; lock != nil {
			winners++
			defer release(t, lock)
		}
	}
	if winners != 1 {
		t.Errorf("%d have the lock", winners)
	}
}

func TestAlive(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, boot := Process()
	pid, now := cmd.Process.Pid, time.Now().Add(time.Second)
	for _, c := range []struct {
		name  string
		pid   int
		boot  string
		since time.Time
		want  bool
	}{
		{"a living process", pid, boot, now, true},
		{"in another boot", pid, "another", now, false},
		{"a reused number", pid, boot, now.Add(-time.Hour), false},
		{"no process", 1 << 30, boot, now, false},
		{"ourselves", os.Getpid(), boot, now, false},
	} {
		if got := Alive(c.pid, c.boot, c.since); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if Alive(pid, boot, now) {
		t.Error("alive after its end")
	}
}
