package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"townsquare/upgrade/internal/printable"
)

// LockPath is where a host's lock is.
const LockPath = "/var/lib/townsquare/lock"

// beatEvery is how often the holder shows a sign of life, and looks whether the lock is still its own.
const beatEvery = 2 * time.Second

// Holder is who holds the lock of a host.
type Holder struct {
	Who   string    `json:"who"` // such as "ada@laptop"
	Why   string    `json:"why"` // such as "apply to 9.10.0"
	Run   string    `json:"run"` // id of its run
	Since time.Time `json:"since"`
	Beat  time.Time `json:"beat"` // last sign of life

	Uptime time.Duration `json:"uptime_ns,omitempty"` // of the host at the last sign of life
	PID    int           `json:"pid"`
	BootID string        `json:"boot_id"`
	Ticks  uint64        `json:"ticks,omitempty"` // when its process started, in clock ticks since the boot
}

// LockedError says who else is at work on this host.
type LockedError struct{ Holder Holder }

func (e *LockedError) Error() string {
	h := e.Holder
	if h.nameless() {
		return "someone is at work on this host, and has not written down who in " + LockPath
	}
	text := fmt.Sprintf("%s is at work on this host: %s, since %s, last sign of life %s ago",
		h.Who, h.Why, h.Since.Local().Format("15:04:05"), printable.Duration(h.silent().Round(time.Second)))
	if h.Hangs() {
		text += ": it hangs"
	}
	return text
}

// String is a line about who holds it.
func (h Holder) String() string {
	if h.nameless() {
		return "someone, who has not written down who"
	}
	return fmt.Sprintf("%s: %s, since %s", h.Who, h.Why, h.Since.Local().Format("15:04:05"))
}

// nameless says that the lock is held and its file says nothing: it was caught between two writes of
// a beat, the disk is full, or its holder is not this program.
func (h Holder) nameless() bool { return h.Since.IsZero() }

// Hint says what to type.
func (e *LockedError) Hint() string {
	switch {
	case e.Holder.nameless():
		return "who it is: sudo lslocks | grep " + LockPath + "    # on the server"
	case e.Holder.Hangs():
		return fmt.Sprintf("the server ends a run that hangs after %s and rolls it back; at once: upgrade unlock --force …", printable.Duration(HungAfter))
	}
	return "follow it: upgrade follow … · end it and roll back: upgrade cancel … · if it hangs: upgrade unlock --force …"
}

// Hangs says that the holder has shown no sign of life for several beats, and yet its process, or
// the kernel's lock, is there.
func (h Holder) Hangs() bool { return !h.nameless() && h.silent() > 5*beatEvery }

// silent is how long ago the last sign of life was. Setting the clock does not change it, but for a
// holder that noted no uptime.
func (h Holder) silent() time.Duration {
	if _, boot := Process(); h.Uptime != 0 && h.BootID == boot {
		return uptime("/proc") - h.Uptime
	}
	return time.Since(h.Beat)
}

// ErrLockLost is the cause of a context that ended because the lock was taken away.
var ErrLockLost = errors.New("the lock was taken away by upgrade unlock --force")

// Lock is a host's lock: a file that the kernel keeps locked (flock) as long as its holder lives,
// so that neither a crash nor a power cut leaves it behind, with the holder's name in it for others
// to read. Removing the file takes the lock away; the holder notices within beatEvery.
type Lock struct {
	file  *os.File
	path  string
	hold  Holder
	stop  chan struct{}
	ended sync.WaitGroup
	once  sync.Once
}

// TakeLock takes the lock at path for hold, whose process fields it fills in. The error is a
// *LockedError when someone else has it. lost is called once, from another goroutine, when it was
// taken away.
func TakeLock(path string, hold Holder, lost func(error)) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := openLocked(path)
	if err != nil {
		return nil, err
	}
	hold.Since = time.Now().UTC()
	hold.PID, hold.BootID = Process()
	hold.Ticks = Ticks()
	l := &Lock{file: file, path: path, hold: hold, stop: make(chan struct{})}
	// On a full disk the file names nobody; the kernel holds the lock all the same.
	if err := l.beat(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		_ = os.Remove(path)
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l.ended.Go(func() { l.keep(lost) })
	return l, nil
}

// openLocked opens and locks the file that is at path *after* the lock is held: one that was
// removed in between locks nothing.
func openLocked(path string) (*os.File, error) {
	for tries := 10; ; tries-- {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			holder, held, err := ReadLock(path)
			switch {
			case err != nil:
				return nil, err
			case held || tries == 0:
				return nil, &LockedError{Holder: holder}
			}
			time.Sleep(20 * time.Millisecond) // it was only being read, or was freed just now
			continue
		}
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if same(file, path) {
			return file, nil
		}
		file.Close()
	}
}

func same(file *os.File, path string) bool {
	ours, err1 := file.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(ours, there)
}

func (l *Lock) beat() error {
	l.hold.Beat, l.hold.Uptime = time.Now().UTC(), uptime("/proc")
	data, err := json.Marshal(l.hold)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(int64(len(data))); err != nil {
		return err
	}
	_, err = l.file.WriteAt(data, 0)
	return err
}

// keep beats until the lock is released or lost. A beat that cannot be written, as on a full disk,
// is no loss: the kernel still holds the lock.
func (l *Lock) keep(lost func(error)) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			if !same(l.file, l.path) {
				lost(ErrLockLost)
				return
			}
			_ = l.beat()
		}
	}
}

// Release frees the lock; a second call does nothing. The file is removed only if it is still ours.
func (l *Lock) Release() (err error) {
	l.once.Do(func() {
		close(l.stop)
		l.ended.Wait()
		if same(l.file, l.path) {
			err = os.Remove(l.path)
		}
		err = errors.Join(err, l.file.Close())
	})
	return err
}

// ReadLock says who holds the lock at path; held is false when nobody does, whatever the file says.
func ReadLock(path string) (h Holder, held bool, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, err
	}
	defer file.Close()
	data := make([]byte, 4096)
	n, _ := file.Read(data)
	if json.Unmarshal(data[:n], &h) != nil {
		h = Holder{Who: "someone", Why: "unknown"} // see nameless
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return h, errors.Is(err, syscall.EWOULDBLOCK), nil
}

// SweepLock removes the file of a lock that was held when the power was cut. It locks nothing any
// more; only people who look might think so.
func SweepLock(path string) error {
	left, held, err := ReadLock(path)
	if _, boot := Process(); err != nil || held || left == (Holder{}) || left.BootID == boot {
		return err
	}
	l, err := TakeLock(path, Holder{Who: "the host itself", Why: "tidy up"}, func(error) {})
	var busy *LockedError
	if errors.As(err, &busy) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.Release()
}

// Unlock takes the lock away from its holder, who puts its run back when it notices. Without force
// it refuses to do so to one that lives. It returns who had it.
func Unlock(path string, force bool) (h Holder, held bool, err error) {
	h, held, err = ReadLock(path)
	if err != nil || h == (Holder{}) {
		return h, false, err
	}
	if held && !force {
		return h, true, &LockedError{Holder: h}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, held, err
	}
	return h, held, nil
}

// WaitGone waits until the holder's process is over, at most for limit.
func (h Holder) WaitGone(ctx context.Context, limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if !Alive(h.PID, h.BootID, h.Ticks) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
	return false
}
