package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// In a test the real server is this test binary, told so by the environment.
func TestMain(m *testing.M) {
	if os.Getenv("FAKE_SERVER") == "" {
		os.Exit(m.Run())
	}
	switch subcommand(os.Args[1:]) {
	case "version":
		fmt.Print("Version: 9.10.0\nBuild Number: 9.10.0\nBuild Hash: abc\n")
	case "db":
		fmt.Println("asked for", os.Args[1:])
	default:
		notify(os.Getenv("NOTIFY_SOCKET"), []byte("STATUS=starting"))
		fmt.Println("serving")
		notify(os.Getenv("NOTIFY_SOCKET"), []byte("READY=1"))
		time.Sleep(time.Minute)
	}
}

// install builds the program with a behaviour and puts the fake server beside it.
func install(t *testing.T, behaviour string) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "mattermost")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.number=9.10.4 -X main.behaviour="+behaviour, "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "mattermost-server"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// When run tells a program to end, if it has not ended by itself: as soon as it says that it is ready, or after this
// long.
const (
	ready = 0
	never = 10 * time.Minute
)

// run starts the program under a notify socket and returns how it ended and what it told its service manager.
func run(t *testing.T, program string, end time.Duration, args ...string) (state *os.ProcessState, output string, notified []string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "FAKE_SERVER=1", "NOTIFY_SOCKET="+socket)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	while := end
	if end == ready {
		while = never
	}
	timer := time.AfterFunc(while, func() { cmd.Process.Signal(syscall.SIGTERM) })
	defer timer.Stop()
	const over = "the program has ended"
	heard := make(chan []string)
	go func() {
		var all []string
		buf := make([]byte, 1024)
		for n, err := conn.Read(buf); err == nil && string(buf[:n]) != over; n, err = conn.Read(buf) {
			all = append(all, string(buf[:n]))
			if end == ready && all[len(all)-1] == "READY=1" {
				cmd.Process.Signal(syscall.SIGTERM)
			}
		}
		heard <- all
	}()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	notify(socket, []byte(over))
	return cmd.ProcessState, out.String(), <-heard
}

func signalOf(state *os.ProcessState) syscall.Signal {
	return state.Sys().(syscall.WaitStatus).Signal()
}

func TestAnswersAsAGoodRelease(t *testing.T) {
	t.Parallel()
	program := install(t, "exit")
	state, out, _ := run(t, program, never, "version")
	if !state.Success() || out != "Version: 9.10.0\nBuild Number: 9.10.4\nBuild Hash: abc\n" {
		t.Errorf("version: %s, %q", state, out)
	}
	state, out, _ = run(t, program, never, "db", "migrate", "--dry-run")
	if !state.Success() || out != "asked for [db migrate --dry-run]\n" {
		t.Errorf("db: %s, %q", state, out)
	}
}

func TestEndsAtOnce(t *testing.T) {
	t.Parallel()
	if state, _, notified := run(t, install(t, "exit"), never); state.ExitCode() != 1 || notified != nil {
		t.Errorf("exit: %s, %q", state, notified)
	}
	if state, _, notified := run(t, install(t, "segfault"), never); signalOf(state) != syscall.SIGSEGV || notified != nil {
		t.Errorf("segfault: %s, %q", state, notified)
	}
	state, out, notified := run(t, install(t, "migrate-exit"), never)
	if state.ExitCode() != 1 || notified != nil || !strings.Contains(out, "asked for [db migrate]") {
		t.Errorf("migrate-exit: %s, %q, %q", state, notified, out)
	}
}

func TestNeverServes(t *testing.T) {
	t.Parallel()
	if state, _, notified := run(t, install(t, "hang"), 300*time.Millisecond); signalOf(state) != syscall.SIGTERM || notified != nil {
		t.Errorf("hang: %s, %q", state, notified)
	}
	state, _, notified := run(t, install(t, "deaf"), ready)
	if signalOf(state) != syscall.SIGTERM || strings.Join(notified, " ") != "READY=1" {
		t.Errorf("deaf: %s, %q", state, notified)
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	state, out, notified := run(t, install(t, "wrong-version"), ready, "server")
	if signalOf(state) != syscall.SIGTERM || len(notified) != 2 || out != "serving\n" {
		t.Errorf("wrong-version: %s, %q, %q", state, notified, out)
	}
}

func TestDiesAfterItWasReady(t *testing.T) {
	t.Parallel()
	start := time.Now()
	state, _, notified := run(t, install(t, "crash"), never)
	if state.ExitCode() != 2 || strings.Join(notified, " ") != "STATUS=starting READY=1" {
		t.Errorf("crash: %s, %q", state, notified)
	}
	if took := time.Since(start); took < 3*time.Second {
		t.Errorf("it died after %s", took)
	}
}
