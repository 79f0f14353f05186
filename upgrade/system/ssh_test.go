package system

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// door is an sshd with a host key of its own, as far as the key.
func door(t *testing.T) (address, key string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _, _, _ = ssh.NewServerConn(conn, config) }()
		}
	}()
	return listener.Addr().String(), string(signer.PublicKey().Marshal())
}

// A new sshd is only good when it shows this host's key.
func TestKnock(t *testing.T) {
	address, key := door(t)
	if err := knock(t.Context(), address, []string{"another", key}); err != nil {
		t.Error(err)
	}
	if err := knock(t.Context(), address, []string{"another"}); err == nil || !strings.Contains(err.Error(), "not this host's") {
		t.Errorf("another host's key: %v", err)
	}
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := mute.Addr().String()
	_ = mute.Close()
	began := time.Now()
	if err := knock(t.Context(), nobody, []string{key}); err == nil || time.Since(began) > sshTimeout {
		t.Errorf("nobody there: %v", err)
	}
}

func TestSSHAddresses(t *testing.T) {
	s := answering(t, map[string]string{sshd + " -T": "port 22\nlistenaddress [::]:22\nlistenaddress 0.0.0.0:2222\nlistenaddress 10.0.0.5:22\n"})
	got, err := s.sshAddresses(t.Context())
	if want := "127.0.0.1:2222 10.0.0.5:22"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v", got, err)
	}
	s = answering(t, map[string]string{sshd + " -T": "port 22\n"})
	if _, err := s.sshAddresses(t.Context()); err == nil {
		t.Error("an sshd that listens nowhere is taken for one that does")
	}
}
