package cli

import (
	"bytes"
	"cmp"
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
	"townsquare/upgrade/internal/printable"
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
	target    target
	printer   *ui.Printer
	way       way
	again     func(ctx context.Context, limit time.Duration) (way, error) // connects, for the first time or after a cut
	recovered string                                                      // the run that was left unfinished, and was recovered first
	aside     bool                                                        // the host is a machine of ours, which goes when we do
	looks     int                                                         // by examine
}

// maxLooks is how often a command looks at the server before it gives up: twice as often as one that waits
// for the lock. A server that always names another run would keep it busy for ever.
const maxLooks = 2 * int(waitForLock/askForLock)

// endlessError is returned when a server has been looked at maxLooks times and another look is needed.
type endlessError struct{ printer *ui.Printer }

func (*endlessError) Error() string {
	return fmt.Sprintf("after %d looks the server still asks for another; expected: an end after a few", maxLooks)
}

// Hint shows what the server does all the time.
func (e *endlessError) Hint() string { return e.printer.Command("history") }

// open finds the server, waits until it has booted, and brings it this program.
func (a *app) open(ctx context.Context, f *targetFlags) (*session, error) {
	a.printer.Target = f.words() // in a fleet, of this server
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
			p.Say("%s; waiting up to %s", what, printable.Duration(limit))
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

// bring uploads this program, unless the same or a newer one is there, or a run is in progress.
func bring(ctx context.Context, p *ui.Printer, conn *host.Conn, facts host.Facts) error {
	build, err := hostBuild(ctx, facts.Arch, p.Say)
	if err != nil {
		return err
	}
	ours := versionOf(build)
	_, err = conn.Upload(ctx, build, facts.SHA256, host.Upgrader, func() error {
		there, err := conn.Incumbent(ctx)
		if err != nil {
			return err
		}
		return ours.replaces(there)
	}, func(done, total int64) {
		p.Progress("copying upgrade to the server", done, total)
	})
	if errors.Is(err, host.ErrRunning) { // it began while the program was on its way
		err = ours.replaces(host.Incumbent{Running: true})
	}
	var kept *keptError
	if errors.As(err, &kept) {
		p.Say("%s", kept.why)
		return nil
	}
	return err
}

// canRead refuses to put this program in the place of one that wrote a record which this one
// cannot read: nobody could put an unfinished run back then.
func canRead(record []byte) error {
	if len(record) == 0 {
		return nil
	}
	if _, err := state.Parse(record); errors.Is(err, state.ErrNewer) {
		return &olderError{fmt.Errorf("its record cannot be read: %w", err)}
	}
	return nil
}

// olderError says that the host's upgrader knows more than this one.
type olderError struct{ why error }

func (e *olderError) Error() string {
	return fmt.Sprintf("this upgrade is older than the one on the server: %v", e.why)
}

func (e *olderError) Unwrap() error { return e.why }

// Hint says what to type.
func (*olderError) Hint() string {
	return "in the source tree: " + update + "    # the newer one is on the server: " + host.Upgrader
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
	stderr := host.Bounded{Most: host.MaxStderr}
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
	out := host.Bounded{Most: phase.MaxAnswer + 1}
	if err := s.call(ctx, words, request, &out); err != nil {
		return remote(err)
	}
	return phase.Read(out.Bytes(), answer)
}

// remoteError is an error that the host's side has already put into words.
type remoteError struct {
	text string
	hint string
	code int
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Hint() string  { return e.hint }

// remote gives an error of the host's side back its words. On stderr it has "error: …", further lines of
// it behind "  | ", and "  -> hint", as every command has: of several errors the first hint counts.
func remote(err error) error {
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	e := &remoteError{code: exit.Code}
	var said []string
	for line := range strings.Lines(printable.Lines(exit.Stderr)) {
		line = strings.TrimRight(line, "\n")
		hint, hints := strings.CutPrefix(line, "  -> ")
		switch {
		case hints && e.hint == "":
			e.hint = hint
		case hints:
			said = append(said, "do: "+hint)
		default:
			said = append(said, strings.TrimPrefix(strings.TrimPrefix(line, "  | "), "error: "))
		}
	}
	if e.text = strings.TrimSpace(strings.Join(said, "\n")); e.text == "" {
		e.text = exit.Error()
	}
	return e
}

// examine runs the checks on the host and returns their plan; events may be nil.
func (s *session) examine(ctx context.Context, what string, r request) (phase.Preview, error) {
	if s.looks++; s.looks > maxLooks {
		return phase.Preview{}, &endlessError{s.printer}
	}
	s.printer.Busy("looking at the server")
	defer s.printer.Idle()
	var (
		plan phase.Preview
		bad  error // the first thing that could not be read; the server goes on meanwhile
		got  bool
	)
	lines := &lineWriter{each: func(line []byte) {
		e, err := phase.Decode(line)
		if err != nil {
			bad = cmp.Or(bad, err)
			return
		}
		if e.Kind == phase.Begin {
			s.printer.Busy(e.Phase)
		}
		if e.Kind == phase.Blocked {
			s.printer.Event(e)
		}
		if e.Kind == phase.Result {
			got = true
			bad = cmp.Or(bad, phase.ReadData(e, &plan))
			plan.Problems, plan.Hint = s.printer.CompleteAll(plan.Problems), s.printer.Complete(plan.Hint)
		}
	}}
	r.Delivery, r.Who = s.target.delivery, who()
	r.Try = what == "check" && !s.target.made // a check with --config changes nothing
	err := s.call(ctx, []string{"examine", what}, r, lines)
	plan.Operation = r.Operation
	switch {
	case bad != nil:
		return phase.Preview{}, bad
	case got:
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

// lineWriter calls each with every whole line; of one that is too long, with so much that phase.Read
// refuses it.
type lineWriter struct {
	each func(line []byte)
	rest host.Bounded
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest.Most = phase.MaxAnswer + 1
	whole := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			_, _ = w.rest.Write(p)
			return whole, nil
		}
		_, _ = w.rest.Write(p[:i])
		w.each(w.rest.Bytes())
		w.rest.Reset()
		p = p[i+1:]
	}
}
