package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshServer is a real SSH server in this process; it runs commands by the user's login shell.
type sshServer struct {
	address Address
	keys    Keys
	bin     string // comes first on the PATH of its commands
	shell   string // the user's login shell
	home    string // and home
	alone   bool   // nothing but bin is on the PATH
	single  bool   // like sshd with MaxSessions 1

	mu       sync.Mutex
	conns    []net.Conn
	logins   int
	silent   bool // swallow what arrives, as a firewall that drops does
	requests []string
}

func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

func serve(t *testing.T) *sshServer {
	t.Helper()
	hostKey, _ := newKey(t)
	user, file := newKey(t)
	identity := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(identity, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &sshServer{keys: Keys{Identity: identity}, bin: t.TempDir(), shell: "sh", home: t.TempDir()}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) == string(user.PublicKey().Marshal()) {
			return nil, nil
		}
		return nil, errors.New("unknown key")
	}}
	config.AddHostKey(hostKey)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close(); s.cut() })
	at := listener.Addr().(*net.TCPAddr)
	s.address = Address{User: "ops", Host: "127.0.0.1", Port: at.Port, HostKey: hostKey.PublicKey()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.handle(conn, config)
		}
	}()
	return s
}

func (s *sshServer) dial(ctx context.Context) (*Conn, error) { return Dial(ctx, s.address, s.keys) }

// cut ends all connections without a word.
func (s *sshServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

func (s *sshServer) handle(tcp net.Conn, config *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(tcp, config)
	if err != nil {
		tcp.Close()
		return
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	go func() {
		for r := range requests {
			s.mu.Lock()
			silent := s.silent
			s.mu.Unlock()
			if r.WantReply && !silent {
				_ = r.Reply(false, nil)
			}
		}
	}()
	slot := make(chan struct{}, 1)
	for c := range channels {
		if s.single {
			select {
			case slot <- struct{}{}:
			default:
				_ = c.Reject(ssh.ConnectionFailed, "open failed")
				continue
			}
		}
		channel, requests, err := c.Accept()
		if err != nil {
			continue
		}
		go func() {
			s.session(channel, requests)
			if s.single {
				time.Sleep(20 * time.Millisecond) // sshd looks at what ended after what begins
				<-slot
			}
		}()
	}
	conn.Close()
}

func (s *sshServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		s.mu.Lock()
		s.requests = append(s.requests, r.Type)
		s.mu.Unlock()
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var line struct{ Text string }
		_ = ssh.Unmarshal(r.Payload, &line)
		_ = r.Reply(true, nil)
		cmd := exec.Command(s.shell, "-c", line.Text)
		cmd.Env = append(os.Environ(), "PATH="+s.path(), "HOME="+s.home,
			"SSH_CLIENT=127.0.0.1 1 22", "SHLVL=0") // bash reads ~/.bashrc for such a command
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(stdin, channel); stdin.Close() }()
		status := struct{ Code uint32 }{0}
		if err := cmd.Run(); err != nil {
			status.Code = 255
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				status.Code = uint32(exit.ExitCode())
			}
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(&status))
		return
	}
}

// program puts a shell script on the PATH of the server's commands.
func (s *sshServer) program(t *testing.T, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// only leaves on the PATH what program put there, and these.
func (s *sshServer) only(t *testing.T, names ...string) {
	t.Helper()
	s.alone = true
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(s.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *sshServer) path() string {
	if s.alone {
		return s.bin
	}
	return s.bin + ":" + os.Getenv("PATH")
}
