package untrusted

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const same = ^uintptr(0) // leaves a number as it is (setresuid(2))

// as calls do on a thread whose effective user is uid. The kernel then takes root's capabilities from it.
// The real user stays root, so that the user can neither trace nor signal it.
func as(uid, gid uint32, groups []uint32, do func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked unless it is root's again: else it ends with this goroutine.
		runtime.LockOSThread()
		before, err := unix.Getgroups()
		if err == nil {
			err = become(uid, gid, groups)
		}
		if err != nil {
			done <- fmt.Errorf("become user %d: %w", uid, err)
			return
		}
		err = do()
		own := make([]uint32, len(before))
		for i, id := range before {
			own[i] = uint32(id)
		}
		if restore(own) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func become(uid, gid uint32, groups []uint32) error {
	if err := setGroups(groups); err != nil {
		return err
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, same, uintptr(gid), same); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); e != 0 {
		return e
	}
	return nil
}

func restore(groups []uint32) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, same, 0, same); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, same, uintptr(unix.Getgid()), same); e != 0 {
		return e
	}
	return setGroups(groups)
}

// setGroups sets those of this thread only: unix.Setgroups would set every thread's.
func setGroups(groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); e != 0 {
		return e
	}
	return nil
}
