// Command mattermost of a release that fails: it stands in front of a real server, answers everything but `server`
// through it, and when it is to serve, misbehaves in the one way it was built for.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Set by the linker.
var (
	number    string // the release's number
	behaviour string
)

func main() {
	self, err := os.Executable()
	if err != nil {
		fail(err)
	}
	real := filepath.Join(filepath.Dir(self), "mattermost-server")
	switch subcommand(os.Args[1:]) {
	case "", "server":
		serve(real)
	case "version":
		out, err := command(real, os.Args[1:]...).Output()
		if err != nil {
			fail(err)
		}
		os.Stdout.Write(regexp.MustCompile(`(Build Number: ).*`).ReplaceAll(out, []byte("${1}"+number)))
	default:
		fail(syscall.Exec(real, append([]string{real}, os.Args[1:]...), os.Environ()))
	}
}

func subcommand(args []string) string {
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			return a
		}
	}
	return ""
}

func serve(real string) {
	switch behaviour {
	case "exit":
		fmt.Fprintln(os.Stderr, `{"level":"fatal","msg":"this release always ends at once"}`)
		os.Exit(1)
	case "hang":
		time.Sleep(24 * time.Hour)
	case "segfault":
		// Go turns a signal to itself into a panic; a shell dies of it as a C program would.
		fail(syscall.Exec("/bin/sh", []string{"sh", "-c", "kill -SEGV $$"}, os.Environ()))
	case "deaf":
		notify(os.Getenv("NOTIFY_SOCKET"), []byte("READY=1"))
		time.Sleep(24 * time.Hour)
	case "migrate-exit":
		out, err := command(real, "db", "migrate").CombinedOutput()
		fmt.Fprintf(os.Stderr, "%s\nmigrated (%v), and now this release ends\n", bytes.TrimSpace(out), err)
		os.Exit(1)
	case "slow-start":
		time.Sleep(20 * time.Second)
		fail(syscall.Exec(real, append([]string{real}, os.Args[1:]...), os.Environ()))
	case "wrong-version":
		fail(syscall.Exec(real, append([]string{real}, os.Args[1:]...), os.Environ()))
	case "newer-postgres":
		fail(serveOn(real, "100000"))
	case "crash":
		dieAfter(real, 3*time.Second)
	case "crash-later":
		dieAfter(real, 20*time.Second)
	}
	fail(fmt.Errorf("built for an unknown behaviour %q", behaviour))
}

// serveOn runs the real server on its database as if that were of another version (as in PostgreSQL's
// server_version_num): what the database answers passes through here.
func serveOn(real, version string) error {
	const variable = "MM_SQLSETTINGS_DATASOURCE"
	database, err := url.Parse(os.Getenv(variable))
	if err != nil {
		return err
	}
	query := database.Query()
	directory := query.Get("host")
	dir, err := os.MkdirTemp("", "postgresql")
	if err != nil {
		return err
	}
	const socket = ".s.PGSQL.5432"
	listener, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		return err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", filepath.Join(directory, socket))
			if err != nil {
				client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client) }()
			go pretend(client, server, version)
		}
	}()
	query.Set("host", dir)
	database.RawQuery = query.Encode()
	cmd := command(real, os.Args[1:]...)
	cmd.Env = append(os.Environ(), variable+"="+database.String())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// pretend copies what a database says, with version in place of its own, which has as many digits.
func pretend(client, server net.Conn, version string) {
	defer client.Close()
	number := regexp.MustCompile(`1[0-9]00[0-9]{2}`)
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], []byte("server_version_num")) {
			copy(buf[:n], number.ReplaceAll(buf[:n], []byte(version)))
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// dieAfter runs the real server and kills it, and itself, that long after the server said that it is ready.
// Without a notify socket the time counts from the start.
func dieAfter(real string, life time.Duration) {
	server := command(real, os.Args[1:]...)
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	ready := make(chan struct{}, 1)
	if outer := os.Getenv("NOTIFY_SOCKET"); outer == "" {
		ready <- struct{}{}
	} else {
		name := fmt.Sprintf("@mattermost-notify-%d", os.Getpid())
		inner, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			fail(err)
		}
		server.Env = append(os.Environ(), "NOTIFY_SOCKET="+name)
		go forward(inner, outer, ready)
	}
	if err := server.Start(); err != nil {
		fail(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	var death <-chan time.Time
	for {
		select {
		case <-ready:
			death = time.After(life)
		case s := <-stop:
			server.Process.Signal(s)
		case err := <-ended:
			if err != nil {
				fail(err)
			}
			os.Exit(0)
		case <-death:
			server.Process.Kill()
			fmt.Fprintln(os.Stderr, `{"level":"fatal","msg":"this release dies after a while"}`)
			os.Exit(2)
		}
	}
}

// forward passes what the server tells its service manager on, as only the main process may tell it.
func forward(inner *net.UnixConn, outer string, ready chan<- struct{}) {
	buf := make([]byte, 4096)
	for {
		n, err := inner.Read(buf)
		if err != nil {
			return
		}
		notify(outer, buf[:n])
		if bytes.Contains(buf[:n], []byte("READY=1")) {
			ready <- struct{}{}
		}
	}
}

func notify(socket string, text []byte) {
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write(text) // nobody listens: nobody to tell
}

// command runs the real server so that it does not outlive this process.
func command(real string, args ...string) *exec.Cmd {
	cmd := exec.Command(real, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "mattermost:", err)
	os.Exit(1)
}
