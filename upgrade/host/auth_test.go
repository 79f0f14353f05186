package host

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// sshAgent is an agent with n keys that no host knows, and then the one at identity.
func sshAgent(t *testing.T, n int, identity string) (socket string) {
	t.Helper()
	ring := agent.NewKeyring()
	for range n {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn); conn.Close() }()
		}
	}()
	return socket
}

// A host that looks at six keys, as sshd does, is shown the one that is named.
func TestIdentityOfAnAgentWithManyKeys(t *testing.T) {
	s := serve(t)
	signer, err := load(s.keys.Identity, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	public := filepath.Join(dir, "id.pub")
	if err := os.WriteFile(public, ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.keys.Identity)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ssh.ParseRawPrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(dir, "locked")
	if err := os.WriteFile(locked, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := sshAgent(t, 7, s.keys.Identity)
	for _, identity := range []string{public, locked} {
		conn, err := Dial(t.Context(), s.address, Keys{Identity: identity, Agent: socket})
		if err != nil {
			t.Fatalf("%s: %v", identity, err)
		}
		if conn.Key != ssh.FingerprintSHA256(signer.PublicKey()) {
			t.Errorf("%s: logged in with %s", identity, conn.Key)
		}
		conn.Close()
	}

	_, err = Dial(t.Context(), s.address, Keys{Identity: public, Agent: sshAgent(t, 1, other(t))})
	var login *AuthError
	if !errors.As(err, &login) || login.Offered != 0 || !strings.Contains(err.Error(), "agent does not hold its private half") {
		t.Errorf("without the private half: %v", err)
	}
}

func other(t *testing.T) string {
	t.Helper()
	_, file := newKey(t)
	path := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is said counts the keys that the host looked at.
func TestKeysThatWereNotOffered(t *testing.T) {
	s := serve(t)
	for n, want := range map[int]string{
		2: "none of 3 SSH keys is accepted",
		9: "none of the first 6 SSH keys is accepted, and the server ended the login before the other 4",
	} {
		_, err := Dial(t.Context(), s.address, Keys{Agent: sshAgent(t, n, other(t)), Home: t.TempDir()})
		var login *AuthError
		if !errors.As(err, &login) || !strings.Contains(err.Error(), want) || !strings.Contains(login.Hint(), "--identity ~") {
			t.Errorf("%d keys: %v", n+1, err)
		}
	}
}
