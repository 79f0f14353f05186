//go:build machine

package mattermost

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A server at a Unix socket sees the service's user, as PostgreSQL's peer authentication does.
func TestDialAs(t *testing.T) {
	path := filepath.Join(openTo(t, "/tmp"), "socket")
	listener, err := net.Listen("unix", path)
	must(t, err, os.Chmod(path, 0o777))
	defer listener.Close()
	conn, err := dialAs(service)(t.Context(), "unix", path)
	must(t, err)
	defer conn.Close()
	accepted, err := listener.Accept()
	must(t, err)
	defer accepted.Close()
	raw, err := accepted.(*net.UnixConn).SyscallConn()
	must(t, err)
	uid, _, err := ids(service)
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		seen, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil || int(seen.Uid) != uid {
			t.Errorf("it sees %+v, %v", seen, err)
		}
	}))
}
