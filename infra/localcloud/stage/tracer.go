package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracer follows the system calls of one process with ptrace(2), as strace does: the process knows
// nothing of it, and is not built for it. All of it happens on one thread, and ends with it: the
// kernel lets everything go that a dead thread traced.
type tracer struct {
	entered map[int]call           // the call that a thread is in
	called  func(call) (hold bool) // at the end of each call that went well; hold: the thread stays there
	held    int                    // the thread that is not to go on; 0: none
}

// call is one system call.
type call struct {
	Number uint64
	Args   [6]uint64
	memory int // the process it happens in
}

// text is the memory at an argument's address, at most 4 KiB.
func (c call) text(address, length uint64) []byte {
	if length == 0 {
		return nil
	}
	buf := make([]byte, min(length, 4096))
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	n, err := unix.ProcessVMReadv(c.memory, local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(buf)}}, 0)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// follow traces all threads of pid until the process is gone or, once one is held, until done is
// closed. It must be the last thing in a goroutine, which it locks to its thread.
func (tr *tracer) follow(pid int, done <-chan struct{}) error {
	runtime.LockOSThread() // for good: with the thread the tracing ends
	if unix.Gettid() == os.Getpid() {
		// But the first thread of a process does not end: another one does it, as this one is taken.
		defer runtime.UnlockOSThread()
		other := make(chan error)
		go func() { other <- tr.follow(pid, done) }()
		return <-other
	}
	tr.entered = map[int]call{}
	if err := tr.seize(pid); err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		flags := unix.WALL | unix.WNOTHREAD
		if tr.held != 0 {
			flags |= unix.WNOHANG
		}
		thread, err := unix.Wait4(-1, &status, flags, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("trace process %d: %w", pid, err)
		}
		if thread == 0 {
			select {
			case <-done:
				return nil
			case <-time.After(time.Millisecond):
				continue
			}
		}
		if status.Stopped() {
			if err := tr.step(pid, thread, status); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("trace process %d: %w", pid, err)
			}
		}
	}
}

// seize takes hold of every thread, also of those that begin meanwhile.
func (tr *tracer) seize(pid int) error {
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC
	seen := map[string]bool{}
	for {
		threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
		if err != nil {
			return err
		}
		more := false
		for _, entry := range threads {
			if seen[entry.Name()] {
				continue
			}
			seen[entry.Name()], more = true, true
			thread, err := strconv.Atoi(entry.Name())
			if err != nil {
				return err
			}
			if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(thread), 0, options, 0, 0); errno != 0 && errno != unix.ESRCH && errno != unix.EPERM {
				return fmt.Errorf("trace process %d: %w", pid, errno) // EPERM: traced as another's child already
			}
			_ = unix.PtraceInterrupt(thread)
		}
		if !more {
			return nil
		}
	}
}

// step looks at why a thread stopped, and lets it go on to the next system call.
func (tr *tracer) step(pid, thread int, status unix.WaitStatus) error {
	signal := 0
	switch {
	case status.StopSignal() == unix.SIGTRAP|0x80:
		if err := tr.look(pid, thread); err != nil {
			return err
		}
		if tr.held == thread {
			return nil
		}
	case status>>16 == 0: // a signal on its way to the process
		signal = int(status.StopSignal())
	}
	if tr.held != 0 {
		return unix.PtraceCont(thread, signal)
	}
	return unix.PtraceSyscall(thread, signal)
}

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h.
type syscallInfo struct {
	Op      uint8 // 1: a call begins, 2: it ended
	_       [3]byte
	_       uint32
	_, _    uint64
	Payload [7]uint64 // 1: number and arguments; 2: result and, as a byte, whether it is an error
}

func (tr *tracer) look(pid, thread int) error {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return errno
	}
	switch info.Op {
	case 1:
		c := call{Number: info.Payload[0], memory: pid}
		copy(c.Args[:], info.Payload[1:])
		tr.entered[thread] = c
	case 2:
		c, ok := tr.entered[thread]
		delete(tr.entered, thread)
		failed := byte(info.Payload[1]) != 0
		if !ok || failed || tr.held != 0 {
			return nil
		}
		if tr.called(c) {
			tr.held = thread
		}
	}
	return nil
}
