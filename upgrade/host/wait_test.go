package host

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProbeIsRead(t *testing.T) {
	sum := strings.Repeat("a", 64)
	for _, c := range []struct {
		name, out string
		want      Facts
		fails     bool
	}{
		{"a fresh host that boots", "Linux x86_64\nstatus: running\nroot", Facts{OS: "linux", Arch: "amd64", Boot: BootRunning, Root: true}, false},
		{"before cloud-init began", "Linux aarch64\nstatus: not started\n", Facts{OS: "linux", Arch: "arm64", Boot: BootRunning}, false},
		{"ready", "Linux x86_64\nsha256 " + sum + "\nstatus: done\nready\nroot\n", Facts{OS: "linux", Arch: "amd64", SHA256: sum, Boot: BootDone, Ready: true, Root: true}, false},
		{"no cloud-init", "Linux x86_64\nroot\n", Facts{OS: "linux", Arch: "amd64", Boot: BootDone, Root: true}, false},
		{"first boot failed", "Linux x86_64\nstatus: error\nroot\n", Facts{OS: "linux", Arch: "amd64", Boot: BootFailed, Root: true}, false},
		{"not Linux", "FreeBSD amd64\nroot\n", Facts{}, true},
		{"a machine of another kind", "Linux riscv64\n", Facts{}, true},
		{"nothing", "", Facts{}, true},
		{"without sudo", "Linux x86_64\n", Facts{OS: "linux", Arch: "amd64", Boot: BootDone}, false},
		{"sudo for some commands", "Linux x86_64\nsudo sudo: a password is required\npartly\n",
			Facts{OS: "linux", Arch: "amd64", Boot: BootDone, Sudo: "sudo: a password is required", Partly: true}, false},
	} {
		got, err := parseProbe(c.out)
		if (err != nil) != c.fails || !c.fails && got != c.want {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
	}
}

func TestWaitsForTheFirstBoot(t *testing.T) {
	s := serve(t)
	s.program(t, "sudo", "exit 0")
	status := filepath.Join(s.bin, "status")
	s.program(t, "cloud-init", "cat "+status)
	if err := os.WriteFile(status, []byte("status: running\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var said []string
	w := Waiter{Limit: time.Minute,
		Dial: func(ctx context.Context) (*Conn, error) { return Dial(ctx, s.address, s.keys) },
		Waiting: func(what string) {
			said = append(said, what)
			if err := os.WriteFile(status, []byte("status: done\n"), 0o644); err != nil {
				t.Error(err)
			}
		}}
	conn, facts, err := w.Reach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if facts.Boot != BootDone || len(said) != 1 || !strings.Contains(said[0], "booting") {
		t.Errorf("facts %+v, said %q", facts, said)
	}
}

func TestWaitsForAHostThatDoesNotAnswer(t *testing.T) {
	s := serve(t)
	s.program(t, "sudo", "exit 0")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := s.address
	closed.Port = listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	tries := 0
	var said []string
	w := Waiter{Limit: time.Minute, Waiting: func(what string) { said = append(said, what) },
		Dial: func(ctx context.Context) (*Conn, error) {
			if tries++; tries == 1 {
				return Dial(ctx, closed, s.keys)
			}
			return Dial(ctx, s.address, s.keys)
		}}
	conn, _, err := w.Reach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if tries != 2 || len(said) != 1 {
		t.Errorf("%d tries, said %q", tries, said)
	}
	w.Limit = 0
	tries = 0
	if _, _, err := w.Reach(t.Context()); err == nil || tries != 1 {
		t.Errorf("without patience: %d tries, error %v", tries, err)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name string
		made bool
		f    Facts
		want error
	}{
		{"ready", true, Facts{Ready: true, Root: true}, nil},
		{"someone else's host is never marked ready", false, Facts{Root: true}, nil},
		{"no root", true, Facts{Ready: true}, &SudoError{}},
		{"first boot failed", true, Facts{Boot: BootFailed, Root: true}, &FirstBootError{Failed: true}},
		{"first boot failed after it was ready", true, Facts{Boot: BootFailed, Ready: true, Root: true}, nil},
		{"first boot", true, Facts{Boot: BootRunning}, &BootingError{First: true}},
		{"a later boot", true, Facts{Boot: BootRunning, Ready: true}, &BootingError{}},
	} {
		err := Waiter{Made: c.made}.judge(c.f)
		if (err == nil) != (c.want == nil) || err != nil && err.Error() != c.want.Error() {
			t.Errorf("%s: %v", c.name, err)
		}
		var booting *BootingError
		if err != nil && worthWaiting(err) != errors.As(err, &booting) {
			t.Errorf("%s: worth waiting: %v", c.name, worthWaiting(err))
		}
	}
}

// What sudo answers decides what is said and hinted at; it is not waited for.
func TestCannotBecomeRoot(t *testing.T) {
	for _, c := range []struct{ name, sudo, doas, says, hint string }{
		{"password", `echo "sudo: a password is required" >&2; exit 1`, "", "without a password", "'ops ALL=(ALL) NOPASSWD: ALL' >/etc"},
		{"requiretty", `echo "sudo: sorry, you must have a tty to run sudo" >&2; exit 1`, "", "requiretty", "'Defaults:ops !requiretty' >>/etc"},
		{"some commands", `case "$*" in *-l) exit 0 ;; esac; echo "sudo: a password is required" >&2; exit 1`, "", "some commands", "NOPASSWD: ALL"},
		{"doas", "", "exit 0", "doas", "apt install sudo && echo"},
		{"neither", "", "", "no sudo", "apt install sudo && echo"},
	} {
		s := serve(t)
		s.program(t, "id", "echo 1000")
		for name, script := range map[string]string{"sudo": c.sudo, "doas": c.doas} {
			if script != "" {
				s.program(t, name, script)
			}
		}
		if c.sudo == "" { // none is to be found elsewhere
			s.only(t, "sh", "uname", "sha256sum", "cut", "sed", "head", "tail")
		}
		_, _, err := s.waiter(t).Reach(t.Context())
		var sudo *SudoError
		if !errors.As(err, &sudo) || !strings.Contains(err.Error(), c.says) || !strings.Contains(sudo.Hint(), c.hint) {
			t.Errorf("%s: %v", c.name, err)
		} else if strings.Contains(sudo.Hint(), "'' ALL") {
			t.Errorf("%s: hint %q", c.name, sudo.Hint())
		}
	}
}

func TestHintOfAConnection(t *testing.T) {
	for want, why := range map[string]error{
		"sshFrom":               &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded},
		"sshd does not listen":  &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"getent hosts 10.0.0.1": &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", IsTimeout: true}},
		"this computer reach":   &silentError{connectTimeout},
		"journalctl":            io.EOF,
	} {
		err := &ConnectError{"10.0.0.1:22", why}
		if !strings.Contains(err.Hint(), want) || strings.Count(err.Error(), "10.0.0.1:22") != 1 {
			t.Errorf("%v: %q, want %q", err, err.Hint(), want)
		}
	}
}
