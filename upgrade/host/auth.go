package host

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Keys is where the operator's SSH keys are.
type Keys struct {
	Identity string // only this file; empty: the agent's keys, then the usual files
	Agent    string // the agent's socket; empty: no agent
	Home     string // the directory that has .ssh
}

// AuthError says that the host accepts none of our keys.
type AuthError struct {
	User, Host string
	Tried      int
	Note       string // why some key was not tried
}

func (e *AuthError) Error() string {
	if e.Tried == 0 {
		return fmt.Sprintf("log in as %s to %s: no SSH key to try%s", e.User, e.Host, e.Note)
	}
	return fmt.Sprintf("log in as %s to %s: none of %d SSH keys is accepted%s", e.User, e.Host, e.Tried, e.Note)
}

// Hint says what to type.
func (e *AuthError) Hint() string {
	return "name the key with --identity FILE, or add it to your agent: ssh-add FILE"
}

// isAuth knows a refused login by its words: x/crypto/ssh has no type for it.
func isAuth(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "unable to authenticate") ||
		strings.Contains(text, "too many authentication failures")
}

// signers returns every key to try, and a note on those that cannot be.
func (k Keys) signers() ([]ssh.Signer, string) {
	held := k.held()
	if k.Identity != "" {
		signer, err := load(k.Identity, held)
		if err != nil {
			return nil, fmt.Sprintf(" (%v)", err)
		}
		return []ssh.Signer{signer}, ""
	}
	signers, notes := held, []string(nil)
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		path := filepath.Join(k.Home, ".ssh", name)
		signer, err := load(path, held)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			notes = append(notes, err.Error())
		case !has(signers, signer):
			signers = append(signers, signer)
		}
	}
	if len(notes) == 0 {
		return signers, ""
	}
	return signers, " (" + strings.Join(notes, "; ") + ")"
}

// held returns the agent's keys; an agent that does not answer has none.
func (k Keys) held() []ssh.Signer {
	if k.Agent == "" {
		return nil
	}
	conn, err := net.Dial("unix", k.Agent)
	if err != nil {
		return nil
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		conn.Close()
		return nil
	}
	return signers // they sign through conn, so it stays open as long as this process
}

// load reads a private key. One with a passphrase is taken from the agent, if that holds it.
func load(path string, held []ssh.Signer) (ssh.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		if locked.PublicKey != nil {
			for _, h := range held {
				if string(h.PublicKey().Marshal()) == string(locked.PublicKey.Marshal()) {
					return h, nil
				}
			}
		}
		return nil, fmt.Errorf("%s has a passphrase: add it to your agent", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return signer, nil
}

func has(signers []ssh.Signer, s ssh.Signer) bool {
	for _, h := range signers {
		if string(h.PublicKey().Marshal()) == string(s.PublicKey().Marshal()) {
			return true
		}
	}
	return false
}

// noting is a key that notes when it is used: only one that the host would accept is asked to sign
// (RFC 4252, section 7), so that the last one is the one that let us in.
type noting struct {
	ssh.Signer
	used *string
}

func (n noting) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	*n.used = ssh.FingerprintSHA256(n.PublicKey())
	return n.Signer.Sign(random, data)
}

// SignWithAlgorithm is what RSA keys are asked for, whose first way of signing nobody takes any more.
func (n noting) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	*n.used = ssh.FingerprintSHA256(n.PublicKey())
	if s, ok := n.Signer.(ssh.AlgorithmSigner); ok {
		return s.SignWithAlgorithm(random, data, algorithm)
	}
	return n.Signer.Sign(random, data)
}
