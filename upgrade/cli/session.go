package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"syscall"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// reconnectFor is how long a cut connection is tried again. The run goes on meanwhile.
const reconnectFor = 15 * time.Minute

// way runs `upgrade host words…` on a host, as root. Cut, it answers with host.ErrCut.
type way interface {
	run(ctx context.Context, words []string, stdin io.Reader, stdout io.Writer) error
	close()
}

// session is one command's work with one host.
type session struct {
	target  target
	printer *ui.Printer
	way     way
	again   func(ctx context.Context, limit time.Duration) (way, error) // connects, for the first time or after a cut
	aside   bool                                                        // the host is a machine of ours, which goes when we do
}

// open finds the server, waits until it has booted, and brings it this program.
func (a *app) open(ctx context.Context, f *targetFlags) (*session, error) {
	a.printer.Target = f.words()
	t, err := f.find(ctx, a)
	if err != nil {
		return nil, err
	}
	s := &session{target: t, printer: a.printer}
	s.again = func(ctx context.Context, limit time.Duration) (way, error) {
		return a.reach(ctx, a.printer, t, limit)
	}
	if s.way, err = s.again(ctx, f.wait); err != nil {
		return s, &awayError{err}
	}
	return s, nil
}

// awayError says that a server could not be reached, so nothing was begun there.
type awayError struct{ error }

func (e *awayError) Unwrap() error { return e.error }

// reachHost connects to the target and sees to it that this program is there.
func reachHost(ctx context.Context, p *ui.Printer, t target, limit time.Duration) (way, error) {
	if t.local {
		if os.Geteuid() != 0 {
			return nil, &notRootError{}
		}
		return thisMachine{}, nil
	}
	p.Busy("connecting to " + t.address.String())
	defer p.Idle()
	waiter := host.Waiter{
		Dial:  func(ctx context.Context) (*host.Conn, error) { return host.Dial(ctx, t.address, t.keys) },
		Made:  t.made,
		Limit: limit,
		Waiting: func(what string) {
			p.Say("%s; waiting up to %s", what, ui.Took(limit))
			p.Busy("waiting for " + t.address.Host)
		},
	}
	conn, facts, err := waiter.Reach(ctx)
	if err != nil {
		return nil, err
	}
	if err := bring(ctx, p, conn, facts); err != nil {
		conn.Close()
		return nil, err
	}
	return overSSH{conn}, nil
}

type notRootError struct{}

func (*notRootError) Error() string { return "--local needs root" }

// Hint says what to type.
func (*notRootError) Hint() string { return "sudo " + strings.Join(os.Args, " ") }

// bring uploads this program, unless the same is there.
func bring(ctx context.Context, p *ui.Printer, conn *host.Conn, facts host.Facts) error {
	build, err := hostBuild(ctx, facts.Arch, p.Say)
	if err != nil {
		return err
	}
	may := func() error { return mayReplace(ctx, conn.Run) }
	_, err = conn.Upload(ctx, build, facts.SHA256, host.Upgrader, may, func(done, total int64) {
		p.Progress("copying upgrade to the server", done, total)
	})
	return err
}

// mayReplace refuses to put this program in the place of one that wrote a record which this one
// cannot read: nobody could put an unfinished run back then.
func mayReplace(ctx context.Context, run func(context.Context, string, io.Reader, io.Writer) error) error {
	var record bytes.Buffer
	script := "if [ -e " + state.Path + " ]; then cat " + state.Path + "; fi"
	if err := run(ctx, host.AsRoot("sh", "-c", script), nil, &record); err != nil {
		return err
	}
	if record.Len() == 0 {
		return nil
	}
	if _, err := state.Parse(record.Bytes()); errors.Is(err, state.ErrNewer) {
		return &olderError{err}
	}
	return nil
}

// olderError says that the host's upgrader knows more than this one.
type olderError struct{ why error }

func (e *olderError) Error() string {
	return fmt.Sprintf("this upgrade is older than the one on the server, whose record it cannot read: %v", e.why)
}

func (e *olderError) Unwrap() error { return e.why }

// Hint says what to type.
func (*olderError) Hint() string {
	return "in the source tree: git pull && CGO_ENABLED=0 go build -o bin/upgrade ./upgrade    (the newer one is on the server: " + host.Upgrader + ")"
}

// key is the fingerprint of the SSH key that we came with; empty on this machine.
func (s *session) key() string {
	if w, ok := s.way.(overSSH); ok {
		return w.conn.Key
	}
	return ""
}

// overSSH is the way to another machine.
type overSSH struct{ conn *host.Conn }

func (w overSSH) close() { w.conn.Close() }

func (w overSSH) run(ctx context.Context, words []string, stdin io.Reader, stdout io.Writer) error {
	return w.conn.Run(ctx, host.AsRoot(append([]string{host.Upgrader, "host"}, words...)...), stdin, stdout)
}

// thisMachine is the way to the machine we are on.
type thisMachine struct{}

func (thisMachine) close() {}

func (thisMachine) run(ctx context.Context, words []string, stdin io.Reader, stdout io.Writer) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"host"}, words...)...)
	cmd.Stdin, cmd.Stdout = stdin, stdout
	return child(ctx, cmd, "upgrade")
}

// child runs a program of ours, by which name it is called in a *host.ExitError.
func child(ctx context.Context, cmd *exec.Cmd, name string) error {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to answer, not the child's
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return &host.ExitError{Name: name, Code: exit.ExitCode(), Stderr: stderr.String()}
	}
	return err
}

func (s *session) close() {
	if s.way != nil {
		s.way.close()
	}
}

// call runs `upgrade host words…` with request as JSON on its stdin: it holds secrets.
func (s *session) call(ctx context.Context, words []string, request any, out io.Writer) error {
	var stdin bytes.Buffer
	if request != nil {
		if err := json.NewEncoder(&stdin).Encode(request); err != nil {
			return err
		}
	}
	return s.way.run(ctx, words, &stdin, out)
}

// ask is call for an answer that is one JSON object.
func (s *session) ask(ctx context.Context, words []string, request, answer any) error {
	var out bytes.Buffer
	if err := s.call(ctx, words, request, &out); err != nil {
		return remote(err)
	}
	if err := json.Unmarshal(out.Bytes(), answer); err != nil {
		return fmt.Errorf("read the host's answer: %w", err)
	}
	return nil
}

// remoteError is an error that the host's side has already put into words.
type remoteError struct {
	text string
	hint string
	code int
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Hint() string  { return e.hint }

// remote gives an error of the host's side back its words. Its last lines on stderr are "error: …"
// and "-> hint", as every command's are.
func remote(err error) error {
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	e := &remoteError{text: strings.TrimSpace(exit.Stderr), code: exit.Code}
	if before, hint, ok := strings.Cut(e.text, "\n  -> "); ok {
		e.text, e.hint = before, hint
	}
	e.text = strings.TrimPrefix(e.text, "error: ")
	if e.text == "" {
		e.text = exit.Error()
	}
	return e
}

// examine runs the checks on the host and returns their plan; events may be nil.
func (s *session) examine(ctx context.Context, what string, r request) (phase.Preview, error) {
	s.printer.Busy("looking at the server")
	defer s.printer.Idle()
	var plan phase.Preview
	got := false
	lines := &lineWriter{each: func(line []byte) error {
		e, err := phase.Decode(line)
		if err != nil {
			return err
		}
		if e.Kind == phase.Begin {
			s.printer.Busy(e.Phase)
		}
		if e.Kind == phase.Blocked {
			s.printer.Event(e)
		}
		if e.Kind == phase.Result {
			data, _ := json.Marshal(e.Data)
			got = true
			return json.Unmarshal(data, &plan)
		}
		return nil
	}}
	r.Delivery, r.Who = s.target.delivery, who()
	r.Try = what == "check" && !s.target.made // a check with --config changes nothing
	err := s.call(ctx, []string{"examine", what}, r, lines)
	plan.Operation = r.Operation
	if got {
		return plan, nil // whatever the exit code says, the plan says too
	}
	if err == nil {
		err = errors.New("the host gave no answer")
	}
	return plan, remote(err)
}

// who names the person for the lock and the log.
func who() string {
	name := "someone"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if machine, err := os.Hostname(); err == nil {
		name += "@" + machine
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, name)
}

// lineWriter calls each with every whole line.
type lineWriter struct {
	each func(line []byte) error
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := w.rest[:i]
		w.rest = w.rest[i+1:]
		if err := w.each(line); err != nil {
			return 0, err
		}
	}
}
