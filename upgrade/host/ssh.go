package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	connectTimeout = 10 * time.Second
	keepaliveEvery = 5 * time.Second
	keepaliveLimit = 15 * time.Second // without a byte from the host the connection is taken for cut
)

// Address is where to reach a host, and the only key that it may show. The key is known before the
// first contact; it is never learned from the wire.
type Address struct {
	User    string
	Host    string
	Port    int // 0 means 22
	HostKey ssh.PublicKey
}

func (a Address) String() string { return a.User + "@" + a.Host }

func (a Address) dial() string {
	port := a.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(port))
}

// login is the ssh command for it.
func (a Address) login() string {
	if a.Port == 0 || a.Port == 22 {
		return "ssh " + a.String()
	}
	return fmt.Sprintf("ssh -p %d %s", a.Port, a)
}

// HostKeyError says that a machine showed another key than the pinned one: it is another machine,
// or someone in between. It is never retried.
type HostKeyError struct {
	Host      string
	Want, Got string // SHA-256 fingerprints
	WantType  string
	GotType   string
}

func (e *HostKeyError) Error() string {
	return fmt.Sprintf("%s shows another host key than the pinned one: expected %s %s, got %s %s",
		e.Host, e.WantType, e.Want, e.GotType, e.Got)
}

// Hint says what to do about it.
func (e *HostKeyError) Hint() string {
	return "do not go on before you know why: a rebuilt server has a new key, and someone in between has one too"
}

// ConnectError is returned when there is no connection to a host, which may boot, be off or be elsewhere.
type ConnectError struct {
	Address string // with the port
	why     error
}

func (e *ConnectError) Error() string {
	why := e.why
	var op *net.OpError
	if errors.As(why, &op) { // it names the address again
		why = op.Err
	}
	return fmt.Sprintf("connect to %s: %v", e.Address, why)
}

func (e *ConnectError) Unwrap() error { return e.why }

func (e *ConnectError) Hint() string {
	name, port, _ := net.SplitHostPort(e.Address)
	var (
		lookup  *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(e.why, &lookup):
		return "see that the name has an address: getent hosts " + name
	case errors.Is(e.why, syscall.ECONNREFUSED):
		return "the server is there, and sshd does not listen on port " + port + ": it may still boot; at its console: sudo systemctl status ssh"
	case errors.As(e.why, &timeout) && timeout.Timeout():
		return "see that the server is on, and that its firewall lets this computer reach port " + port +
			"; of a stack these are the addresses in sshFrom: pulumi config get townsquare:sshFrom"
	}
	return "try again; at the server's console: sudo journalctl -u ssh -n 50"
}

// silentError is the timeout of a host that accepts the connection and does not speak.
type silentError struct{ after time.Duration }

func (e *silentError) Error() string {
	return fmt.Sprintf("no answer within %.0f s", e.after.Seconds())
}
func (*silentError) Timeout() bool   { return true }
func (*silentError) Temporary() bool { return true }

// ErrCut says that the connection went away while a command ran; the command may go on at the host.
var ErrCut = errors.New("connection lost")

// Conn is one connection; each command runs in a session of its own.
type Conn struct {
	Key    string // fingerprint of the one that let us in
	login  string // the ssh command that logs in likewise
	client *ssh.Client
	gone   chan struct{} // closed when the connection is over
}

// Dial connects and logs in. The error is a *HostKeyError when the key is not the pinned one, an
// *AuthError when no key of ours is accepted; everything else may be worth another try. No agent,
// port or display is forwarded.
func Dial(ctx context.Context, a Address, keys Keys) (*Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, &silentError{connectTimeout})
	defer cancel()
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, "tcp", a.dial())
	if err != nil {
		return nil, &ConnectError{a.dial(), err}
	}
	tcp := &watched{Conn: plain}
	stop := context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	var wrong *HostKeyError
	signers, note := keys.signers()
	in := &login{offered: map[string]bool{}}
	for i := range signers {
		signers[i] = noting{signers[i], in}
	}
	config := &ssh.ClientConfig{
		User:              a.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyAlgorithms: algorithms(a.HostKey),
		HostKeyCallback: func(_ string, _ net.Addr, got ssh.PublicKey) error {
			if bytes.Equal(got.Marshal(), a.HostKey.Marshal()) {
				return nil
			}
			wrong = &HostKeyError{Host: a.Host,
				Want: ssh.FingerprintSHA256(a.HostKey), WantType: a.HostKey.Type(),
				Got: ssh.FingerprintSHA256(got), GotType: got.Type()}
			return wrong
		},
	}
	conn, channels, requests, err := ssh.NewClientConn(tcp, a.dial(), config)
	switch {
	case err == nil:
	case wrong != nil:
		tcp.Close()
		return nil, wrong
	case isAuth(err):
		tcp.Close()
		return nil, &AuthError{User: a.User, Host: a.Host, Offered: len(in.offered), Left: len(signers) - len(in.offered), Note: note}
	default:
		tcp.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, &ConnectError{a.dial(), err}
	}
	if !stop() { // the deadline struck at the last moment
		conn.Close()
		return nil, &ConnectError{a.dial(), context.Cause(ctx)}
	}
	c := &Conn{Key: in.used, login: a.login(), client: ssh.NewClient(conn, channels, requests), gone: make(chan struct{})}
	go func() { _ = conn.Wait(); close(c.gone) }()
	go c.keepalive(tcp)
	return c, nil
}

// algorithms puts those of the pinned key first and the others after, so that a machine without
// such a key shows what it has and the refusal can name it.
func algorithms(key ssh.PublicKey) []string {
	first := []string{key.Type()}
	if key.Type() == ssh.KeyAlgoRSA {
		first = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	list := first
	for _, a := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384,
		ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256} {
		if a != first[0] && a != first[len(first)-1] {
			list = append(list, a)
		}
	}
	return list
}

// watched remembers when something last came over the connection.
type watched struct {
	net.Conn
	last atomic.Int64 // Unix time, ns
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.last.Store(time.Now().UnixNano())
	return n, err
}

// keepalive asks the host for signs of life and closes the connection when nothing at all came for
// too long: a network that swallows packets would otherwise keep a command waiting for ever. It
// does not wait for the very answer, which on a slow line is queued behind an upload.
func (c *Conn) keepalive(line *watched) {
	tick := time.NewTicker(keepaliveEvery)
	defer tick.Stop()
	asking := make(chan struct{}, 1)
	for {
		select {
		case <-c.gone:
			return
		case <-tick.C:
		}
		if time.Since(time.Unix(0, line.last.Load())) > keepaliveLimit {
			line.Close()
			return
		}
		select {
		case asking <- struct{}{}:
			go func() {
				_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil)
				<-asking
			}()
		default: // the last question is still under way
		}
	}
}

// Close ends the connection; commands that run over it get ErrCut.
func (c *Conn) Close() error { return c.client.Close() }

// Run has sh run one command line on the host, whatever the login shell is, and waits for it. The error
// is an *ExitError when it ran and failed, a *ShellError when it was not run, ErrCut when the connection
// went away meanwhile. Ending ctx closes the session, not the connection.
func (c *Conn) Run(ctx context.Context, line string, stdin io.Reader, stdout io.Writer) error {
	session, err := c.session(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	stderr := Bounded{Most: MaxStderr}
	if stdout == nil {
		stdout = io.Discard
	}
	out, errs := &afterMark{to: stdout}, &afterMark{to: &stderr}
	passing := &gate{to: out}
	session.Stdin, session.Stdout, session.Stderr = stdin, passing, errs
	ended := make(chan error, 1)
	go func() { ended <- session.Run(loginLine(line)) }()
	select {
	case <-ctx.Done(): // the host's side may not notice before it writes again: do not wait for it
		passing.shut()
		return context.Cause(ctx)
	case err = <-ended:
	}
	var exit *ssh.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		return fmt.Errorf("%w: %w", ErrCut, err)
	case !out.seen:
		said, _, _ := strings.Cut(strings.TrimSpace(string(out.before)+"\n"+string(errs.before)), "\n")
		return &ShellError{Login: c.login, Said: said}
	case err != nil:
		return &ExitError{Name: "remote command", Code: exit.ExitStatus(), Stderr: stderr.String()}
	}
	return nil
}

// sessionWithin is how long a host may take to count a session that has ended no longer.
const sessionWithin = 10 * time.Second

// session opens one. sshd reads the end of the last one and the beginning of the next at once, and
// refuses the next where it allows one at a time (MaxSessions 1): then it is opened a moment later.
func (c *Conn) session(ctx context.Context) (*ssh.Session, error) {
	for deadline := time.Now().Add(sessionWithin); ; {
		session, err := c.client.NewSession()
		var refused *ssh.OpenChannelError
		switch {
		case err == nil:
			return session, nil
		case !errors.As(err, &refused):
			return nil, fmt.Errorf("%w: %w", ErrCut, err)
		case time.Now().After(deadline):
			return nil, &SessionError{err}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// SessionError is returned when a host lets the user log in and run nothing.
type SessionError struct{ why error }

func (e *SessionError) Error() string {
	return fmt.Sprintf("the server refuses to open a session: %v", e.why)
}

func (e *SessionError) Unwrap() error { return e.why }

func (*SessionError) Hint() string {
	return "on the server, MaxSessions must be 1 or more: sudo sshd -T | grep -i maxsessions"
}

// gate passes writes on until it is shut, so that nothing comes after Run has returned.
type gate struct {
	mu     sync.Mutex
	to     io.Writer
	closed bool
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return 0, io.ErrClosedPipe
	}
	return g.to.Write(p)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}
