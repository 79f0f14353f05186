package host

import (
	"bytes"
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
	Identity string // only this key, a private file or the .pub of one that the agent holds; empty: the agent's keys, then the usual files
	Agent    string // the agent's socket; empty: no agent
	Home     string // the directory that has .ssh
}

// AuthError is returned when the host accepts none of our keys.
type AuthError struct {
	User, Host string
	Offered    int
	Left       int    // that the host did not want to see any more
	Note       string // why some key was not offered
}

func (e *AuthError) Error() string {
	text := fmt.Sprintf("log in as %s to %s: ", e.User, e.Host)
	switch {
	case e.Offered == 0:
		text += "no SSH key to try"
	case e.Left > 0:
		text += fmt.Sprintf("none of the first %d SSH keys is accepted, and the server ended the login before the other %d", e.Offered, e.Left)
	default:
		text += fmt.Sprintf("none of %d SSH keys is accepted", e.Offered)
	}
	return text + e.Note
}

// Hint says what to type.
func (e *AuthError) Hint() string {
	if e.Left > 0 {
		return "name the one key, such as --identity ~/.ssh/id_ed25519; where your agent holds it, the .pub file will do"
	}
	return "name the key, such as --identity ~/.ssh/id_ed25519, or add it to your agent: ssh-add"
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

// load reads the key at path. One with a passphrase, or whose public half only is there, is taken from
// the agent.
func load(path string, held []ssh.Signer) (ssh.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err == nil {
		return signer, nil
	}
	var locked *ssh.PassphraseMissingError
	public, _, _, _, notPublic := ssh.ParseAuthorizedKey(data)
	switch {
	case notPublic == nil:
		err = fmt.Errorf("%s is a public key, and your agent does not hold its private half", path)
	case !errors.As(err, &locked):
		return nil, fmt.Errorf("%s: %w", path, err)
	default:
		err = fmt.Errorf("%s has a passphrase: add it to your agent", path)
		if public = locked.PublicKey; public == nil { // an old format does not show it
			if data, e := os.ReadFile(path + ".pub"); e == nil {
				public, _, _, _, _ = ssh.ParseAuthorizedKey(data)
			}
		}
	}
	for _, h := range held {
		if public != nil && bytes.Equal(h.PublicKey().Marshal(), public.Marshal()) {
			return h, nil
		}
	}
	return nil, err
}

func has(signers []ssh.Signer, s ssh.Signer) bool {
	for _, h := range signers {
		if string(h.PublicKey().Marshal()) == string(s.PublicKey().Marshal()) {
			return true
		}
	}
	return false
}

// login is what became of the keys.
type login struct {
	offered map[string]bool // by fingerprint
	used    string          // fingerprint of the one that let us in
}

// noting is a key that notes when it is offered and used: the host is asked about one after the other,
// and only one that it would accept is asked to sign (RFC 4252, section 7), so that the last one is the
// one that let us in.
type noting struct {
	ssh.Signer
	in *login
}

func (n noting) PublicKey() ssh.PublicKey {
	key := n.Signer.PublicKey()
	n.in.offered[ssh.FingerprintSHA256(key)] = true
	return key
}

func (n noting) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	n.in.used = ssh.FingerprintSHA256(n.Signer.PublicKey())
	return n.Signer.Sign(random, data)
}

// SignWithAlgorithm is what RSA keys are asked for, whose first way of signing nobody takes any more.
func (n noting) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	n.in.used = ssh.FingerprintSHA256(n.Signer.PublicKey())
	if s, ok := n.Signer.(ssh.AlgorithmSigner); ok {
		return s.SignWithAlgorithm(random, data, algorithm)
	}
	return n.Signer.Sign(random, data)
}
