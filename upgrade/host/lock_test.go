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

// A clock that is set forward makes no holder hang, and one that is set back hides none that does.
func TestHangsWhateverTheClockSays(t *testing.T) {
	_, boot := Process()
	now := uptime("/proc")
	for _, beat := range []time.Time{time.Now().Add(-24 * time.Hour), time.Now().Add(24 * time.Hour)} {
		h := Holder{Since: beat, Beat: beat, BootID: boot, Uptime: now - beatEvery}
		if h.Hangs() {
			t.Errorf("a holder whose clock says %v hangs", beat)
		}
		if h.Uptime = now - 6*beatEvery; !h.Hangs() {
			t.Errorf("a silent holder whose clock says %v does not hang", beat)
		}
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
	pid := cmd.Process.Pid
	stat, err := ReadStat("/proc", pid)
	ticks := stat.Ticks
	if err != nil || ticks < Ticks() || stat.Parent != os.Getpid() || stat.Ended {
		t.Errorf("%+v, %v; we started at %d", stat, err, Ticks())
	}
	for _, c := range []struct {
		name  string
		pid   int
		boot  string
		ticks uint64
		want  bool
	}{
		{"a living process", pid, boot, ticks, true},
		{"in another boot", pid, "another", ticks, false},
		{"a reused number", pid, boot, ticks - 1, false},
		{"of another program, by an old record", pid, boot, 0, false},
		{"no process", 1 << 30, boot, ticks, false},
		{"ourselves", os.Getpid(), boot, Ticks(), false},
	} {
		if got := Alive(c.pid, c.boot, c.ticks); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if Alive(pid, boot, ticks) {
		t.Error("alive after its end")
	}
}

// proc is a /proc with one process, as a clock that was set shows it.
func proc(t *testing.T, stat, btime, exe string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{"sys/kernel/random/boot_id": "this boot\n", "77/stat": stat, "stat": "btime " + btime + "\n"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(exe, filepath.Join(dir, "77", "exe")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAliveWhateverTheClockSays(t *testing.T) {
	const stat = "77 (a) b (c)) S 1 77 77 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4242 1 1"
	for _, btime := range []string{"0", "1764590400", "4102444800"} {
		dir := proc(t, stat, btime, Upgrader+" (deleted)")
		if !alive(dir, 77, "this boot", 4242) {
			t.Errorf("with btime %s a living run counts as dead", btime)
		}
		if alive(dir, 77, "this boot", 4241) {
			t.Errorf("with btime %s another process counts as the run", btime)
		}
		if !alive(dir, 77, "this boot", 0) {
			t.Errorf("with btime %s a living run whose record has no ticks counts as dead", btime)
		}
	}
	if alive(proc(t, strings.Replace(stat, ") S", ") Z", 1), "0", Upgrader), 77, "this boot", 4242) {
		t.Error("a zombie is alive")
	}
	if alive(proc(t, stat, "0", "/usr/bin/vim"), 77, "this boot", 0) {
		t.Error("another program counts as the run of an old record")
	}
}
