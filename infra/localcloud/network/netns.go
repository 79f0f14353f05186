package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// daemonLock is held by the daemon as long as it lives, so nobody needs to
// trust a file with a process id in it.
func (c *Cloud) daemonLock() string { return filepath.Join(c.Dir, "daemon.lock") }

// Up says whether the cloud's daemon is running.
func (c *Cloud) Up() bool { return lockHeld(c.daemonLock()) }

// HoldDaemonLock makes the caller the cloud's daemon until it exits. The error
// says so if there is one already.
func (c *Cloud) HoldDaemonLock() (release func(), err error) {
	file, err := os.OpenFile(c.daemonLock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("cloud %s has a daemon already: %w", c.Name, err)
	}
	if err := errors.Join(file.Truncate(0), writeAll(file, strconv.Itoa(os.Getpid()))); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

// DaemonProcess is the process id of the running daemon; 0: there is none.
func (c *Cloud) DaemonProcess() int {
	if !c.Up() {
		return 0
	}
	data, err := os.ReadFile(c.daemonLock())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(data))
	if err != nil {
		return 0
	}
	return pid
}

func writeAll(file *os.File, text string) error {
	_, err := file.WriteString(text)
	return err
}

func lockHeld(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// CreateNamespace makes the cloud's network namespace with the gateway's
// addresses in it, and no way out. It may be called again.
func (c *Cloud) CreateNamespace() error {
	if _, err := os.Stat(c.NamespacePath()); errors.Is(err, os.ErrNotExist) {
		if err := run("", "ip", "netns", "add", c.Namespace()); err != nil {
			return fmt.Errorf("create network namespace: %w", err)
		}
	}
	var b strings.Builder
	b.WriteString("link set lo up\n")
	for _, address := range []string{Gateway.String() + "/32", Outsider.String() + "/32", Spaces.String() + "/32", Relay.String() + "/32", MetadataAddress.String() + "/32"} {
		fmt.Fprintf(&b, "address replace %s dev lo\n", address)
	}
	fmt.Fprintf(&b, "address replace %s/128 dev lo\n", Gateway6)
	// A packet for a reserved address needs a route before it can be
	// translated; where it seems to lead does not matter.
	fmt.Fprintf(&b, "route replace %s dev lo src %s\n", reserved, Gateway)
	if err := run(b.String(), "ip", "-n", c.Namespace(), "-batch", "-"); err != nil {
		return fmt.Errorf("give the gateway its addresses: %w", err)
	}
	return c.Do(func() error {
		for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte("1\n"), 0); err != nil {
				return fmt.Errorf("let the gateway forward: %w", err)
			}
		}
		return nil
	})
}

// DeleteNamespace removes the namespace. Deleting twice is no error.
func (c *Cloud) DeleteNamespace() error {
	if _, err := os.Stat(c.NamespacePath()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := run("", "ip", "netns", "delete", c.Namespace()); err != nil {
		return fmt.Errorf("delete network namespace: %w", err)
	}
	return nil
}

// Do runs f on a thread that is in the cloud's network namespace. Sockets that
// f opens and processes that it starts stay in the namespace. f must not start
// goroutines that open some.
func (c *Cloud) Do(f func() error) error {
	target, err := os.Open(c.NamespacePath())
	if err != nil {
		return fmt.Errorf("enter network of cloud %s: %w", c.Name, err)
	}
	defer target.Close()
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			result <- fmt.Errorf("enter network of cloud %s: %w", c.Name, err)
			return
		}
		defer home.Close()
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter network of cloud %s: %w", c.Name, err)
			return
		}
		err = f()
		// A thread that cannot come home stays locked, so no other goroutine
		// ever runs in the wrong namespace.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// Listen is net.Listen inside the namespace.
func (c *Cloud) Listen(network, address string) (listener net.Listener, err error) {
	doErr := c.Do(func() error {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, doErr
}

// ListenPacket is net.ListenPacket inside the namespace.
func (c *Cloud) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	doErr := c.Do(func() error {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, doErr
}

// DialContext is net.Dialer.DialContext inside the namespace. The address must
// be a literal one: a name would be resolved outside.
func (c *Cloud) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("dial %s in cloud %s: not a literal address", address, c.Name)
	}
	doErr := c.Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, doErr
}

// run runs a program to its end with input and returns what it complained
// about.
func run(input, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
