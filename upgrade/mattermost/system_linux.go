package mattermost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// exchange swaps two names in one step, where the file system can do that.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// device is the file system that path is on.
func device(path string) (uint64, error) {
	var s unix.Stat_t
	err := unix.Stat(path, &s)
	return s.Dev, err
}

// ageOf is how long ago something happened at start, in microseconds of the monotonic clock.
func ageOf(start int64) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano()) - time.Duration(start)*time.Microsecond
}

// capabilityAttribute is where the kernel keeps what setcap grants, such as binding port 80.
const capabilityAttribute = "security.capability"

// Capability is what setcap gave the program, as the kernel keeps it; nil when nothing.
func Capability(program string) []byte {
	buf := make([]byte, 64)
	n, err := unix.Getxattr(program, capabilityAttribute, buf)
	if err != nil || n == 0 {
		return nil
	}
	return buf[:n]
}

// SetCapability gives the program what Capability returned of another.
func SetCapability(program string, capability []byte) error {
	if len(capability) == 0 {
		return nil
	}
	if err := unix.Setxattr(program, capabilityAttribute, capability, 0); err != nil {
		return fmt.Errorf("give %s its capabilities: %w", program, err)
	}
	return nil
}

// setMark gives the packets of a socket a mark that the firewall can see (socket(7), SO_MARK).
func setMark(fd uintptr, mark int) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
}

// inNetwork does something on a thread that is in the network at path. A socket stays in the network
// in which it was made.
func inNetwork[T any](path string, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		// The thread is not unlocked: it ends with this goroutine, and nothing else runs in there.
		runtime.LockOSThread()
		var r result
		var file *os.File
		if file, r.err = os.Open(path); r.err == nil {
			if r.err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); r.err == nil {
				r.value, r.err = do()
			}
			file.Close()
		}
		done <- r
	}()
	r := <-done
	return r.value, r.err
}

// dialIn dials a literal address inside the network at path.
func dialIn(path string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return inNetwork(path, func() (net.Conn, error) { return new(net.Dialer).DialContext(ctx, network, address) })
	}
}

func listenIn(path, address string) (net.Listener, error) {
	return inNetwork(path, func() (net.Listener, error) { return net.Listen("tcp", address) })
}

// giveWay lets a process have the processor and the disk only when nobody else wants them
// (setpriority(2); ioprio_set(2): class idle of one process).
func giveWay(pid int) {
	const whoProcess, classIdle = 1, 3 << 13
	_ = unix.Setpriority(unix.PRIO_PROCESS, pid, 19)
	_, _, _ = unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(pid), classIdle)
}

// unixPeers maps the inode of each connected Unix socket of this host to that of its peer
// (sock_diag(7), UNIX_DIAG_PEER).
func unixPeers() (map[uint32]uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("look at Unix sockets: %w", err)
	}
	defer unix.Close(fd)
	const (
		byFamily   = 20 // SOCK_DIAG_BY_FAMILY
		headerSize = 16 // of nlmsghdr
		allStates  = 1<<12 - 1
		showPeer   = 1 << 2 // UDIAG_SHOW_PEER
		peer       = 2      // UNIX_DIAG_PEER
		fixed      = 16     // bytes of unix_diag_msg
	)
	order := binary.NativeEndian
	request := make([]byte, headerSize+24)
	order.PutUint32(request, uint32(len(request)))
	order.PutUint16(request[4:], byFamily)
	order.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request[headerSize] = unix.AF_UNIX
	order.PutUint32(request[headerSize+4:], allStates)
	order.PutUint32(request[headerSize+12:], showPeer)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("look at Unix sockets: %w", err)
	}
	peers := map[uint32]uint32{}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return nil, fmt.Errorf("look at Unix sockets: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return nil, fmt.Errorf("look at Unix sockets: %w", err)
		}
		for _, m := range messages {
			switch {
			case m.Header.Type == unix.NLMSG_DONE:
				return peers, nil
			case m.Header.Type == unix.NLMSG_ERROR:
				return nil, errors.New("look at Unix sockets: the kernel does not show them")
			case len(m.Data) < fixed:
				continue
			}
			inode := order.Uint32(m.Data[4:])
			for rest := m.Data[fixed:]; len(rest) >= 4; {
				size, kind := int(order.Uint16(rest)), order.Uint16(rest[2:])
				if kind == peer && size >= 8 && len(rest) >= 8 {
					peers[inode] = order.Uint32(rest[4:])
				}
				size = (size + 3) &^ 3
				if size < 4 || size > len(rest) {
					break
				}
				rest = rest[size:]
			}
		}
	}
}
