package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/release"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// fakeHost is a host in a temporary directory: the real host's side of the commands, with a systemd
// and phases of a few lines.
type fakeHost struct {
	t    *testing.T
	root string
	acts map[string]func(ctx context.Context, op *phase.Operation) error // what a phase does instead

	drift func(context.Context, *state.Desired, drift.Options) (*drift.Comparison, error)

	mu        sync.Mutex
	unit      string // description of the run in progress
	cancel    context.CancelCauseFunc
	ended     sync.WaitGroup
	dials     int
	input     string          // what comes through a pipe
	typed     string          // what is typed at a terminal, if there is one
	lostStart bool            // the answer to the next start is lost
	stopping  bool            // the host is shutting down
	killed    bool            // what a unit starts is killed at once
	refuses   bool            // systemd starts no run
	enabled   map[string]bool // units that start at boot; a timer among them is active, too
	silent    string          // what is wrong with the backups' repository
	cutAt     int             // cut the connection at this many bytes of events; 0 never
	hears     string          // when the next command has said this to the person …
	then      func()          // … this is done, once
}

func newFakeHost(t *testing.T) *fakeHost {
	h := &fakeHost{t: t, root: t.TempDir(), acts: map[string]func(context.Context, *phase.Operation) error{}, enabled: map[string]bool{}}
	h.acts["choose"] = h.choose
	t.Cleanup(h.ended.Wait)
	return h
}

// choose goes from what is active to 9.10.0.
func (h *fakeHost) choose(_ context.Context, op *phase.Operation) error {
	v, err := release.Parse("9.10.0")
	if err != nil {
		return err
	}
	next := &release.Release{Version: v}
	op.Choice = release.Choice{Target: next, Next: next, Why: "it is the newest"}
	if op.Record.Active == "9.10.0" {
		op.Choice.UpToDate = true
		return phase.Done
	}
	return op.Due(schedule.Upgrade, phase.Waiting{What: "Mattermost 9.10.0"})
}

func (h *fakeHost) repository(_ context.Context, op *phase.Operation) {
	_, _ = op.Pending(schedule.Repository, state.Pending{What: h.silent, Since: time.Now().UTC()})
}

type fakePhase struct {
	name string
	h    *fakeHost
}

func (p fakePhase) ID() string    { return p.name }
func (p fakePhase) Title() string { return p.name }

func (p fakePhase) Run(ctx context.Context, op *phase.Operation) error {
	if act := p.h.acts[p.name]; act != nil {
		return act(ctx, op)
	}
	switch p.name {
	case "lock":
		return op.Acquire(ctx, state.Run{From: "7.7.0", To: "9.10.0"})
	case "stop":
		op.Record.Run.Stopped = true
		op.Down()
		return op.Save()
	case "open":
		op.Up()
	case "commit":
		op.Record.Active, op.Record.Run.Committed = "9.10.0", true
		return op.Save()
	}
	return nil
}

func (p fakePhase) Undo(_ context.Context, op *phase.Operation) error {
	if p.name == "stop" {
		if act := p.h.acts["undo stop"]; act != nil {
			return act(context.Background(), op)
		}
		op.Record.Run.Stopped = false
		op.Up()
		return op.Save()
	}
	return nil
}

func (h *fakeHost) phases(names ...string) func() []phase.Phase {
	return func() (list []phase.Phase) {
		for _, n := range names {
			list = append(list, fakePhase{n, h})
		}
		return list
	}
}

// systemd is systemd-run and systemctl.
func (h *fakeHost) systemd(_ context.Context, c host.Command) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case c.Name == "systemctl" && c.Args[0] == "show" && strings.HasPrefix(c.Args[1], "--property=Id,"):
		var blocks []string
		for _, unit := range c.Args[2:] {
			facts := "LoadState=loaded\nUnitFileState=disabled\nActiveState=inactive\n"
			if h.enabled[unit] {
				facts = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nNextElapseUSecRealtime=Sun 2026-12-06 07:31:31 UTC\n"
			}
			blocks = append(blocks, "Id="+unit+"\n"+facts)
		}
		return []byte(strings.Join(blocks, "\n")), nil
	case c.Name == "systemctl" && c.Args[0] == "show":
		state := "inactive"
		if h.unit != "" {
			state = "active"
		}
		return []byte("ActiveState=" + state + "\nDescription=" + h.unit + "\n"), nil
	case c.Name == "systemctl" && (c.Args[0] == "daemon-reload" || c.Args[0] == "enable" || c.Args[0] == "restart" || c.Args[0] == "disable"):
		if unit := c.Args[len(c.Args)-1]; c.Args[0] == "enable" || c.Args[0] == "disable" {
			h.enabled[unit] = c.Args[0] == "enable"
		}
		return nil, nil
	case c.Name == "systemctl" && c.Args[0] == "is-system-running":
		if h.stopping {
			return []byte("stopping\n"), errors.New("exit status 1")
		}
		return []byte("running\n"), nil
	case c.Name == "systemctl" && c.Args[0] == "kill":
		if h.cancel != nil {
			h.cancel(phase.ErrInterrupted)
		}
		return nil, nil
	case c.Name == "systemd-cat", c.Name == "systemd-run" && strings.HasPrefix(c.Args[0], "--unit=townsquare-tell-"):
		return nil, nil
	case c.Name == "systemd-run" && h.refuses:
		return nil, &host.ExitError{Name: c.Name, Code: 1, Stderr: "Failed to start transient service unit: Connection timed out"}
	case c.Name == "systemd-run":
		var argv []string
		for i, a := range c.Args {
			if d, ok := strings.CutPrefix(a, "--description="); ok {
				h.unit = d
			}
			if a == "--" {
				argv = c.Args[i+2:]
			}
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		h.cancel = cancel
		h.ended.Go(func() {
			if !h.killed {
				h.main(ctx, argv, strings.NewReader(""), io.Discard, io.Discard)
			}
			for _, a := range c.Args {
				if after, ok := strings.CutPrefix(a, "--property=ExecStopPost="); ok {
					h.main(context.Background(), strings.Fields(after)[1:], strings.NewReader(""), io.Discard, io.Discard)
				}
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.unit, h.cancel = "", nil
		})
		return nil, nil
	}
	return nil, errors.New("unexpected: " + c.Name)
}

// main runs the host's side, as sshd or systemd would.
func (h *fakeHost) main(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	a := &app{stdin: in, stdout: out, stderr: errs, env: func(string) string { return "" }, redactor: &secret.Redactor{}}
	a.reach = reachHost
	a.server = func() *server {
		checks := []string{"facts", "choose", "preflight"}
		return &server{app: a, root: h.root, service: host.Service{Run: h.systemd}, self: filepath.Join(h.root, "upgrade"),
			choice: h.phases(checks[:2]...), drift: h.drift, repository: h.repository,
			operations: map[string]phase.Sequence{
				"apply":  {All: h.phases(append(checks, "lock", "fetch", "stop", "start", "open", "commit", "timers")...)(), Looks: len(checks)},
				"all":    {All: h.phases("facts", "both", "lock", "install", "stop", "start", "open", "commit", "timers")(), Looks: 2},
				"repair": {All: h.phases("compare", "take", "files", "proof")(), Looks: 1},
				"os":     {All: h.phases("facts", "packages", "lock", "install", "commit")(), Looks: 2},
			}}
	}
	return a.main(ctx, args)
}

// run is the way to the fake host.
func (h *fakeHost) run(ctx context.Context, words []string, stdin io.Reader, stdout io.Writer) error {
	var stderr bytes.Buffer
	out := &cutter{to: stdout}
	if words[0] == "events" {
		h.mu.Lock()
		out.at, h.cutAt = h.cutAt, 0
		h.mu.Unlock()
	}
	code := h.main(ctx, append([]string{"host"}, words...), stdin, out, &stderr)
	if words[0] == "start" && h.lostStart {
		h.lostStart = false
		return host.ErrCut
	}
	switch {
	case out.cut:
		return host.ErrCut
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case code != 0:
		return &host.ExitError{Name: "upgrade", Code: code, Stderr: stderr.String()}
	}
	return nil
}

func (h *fakeHost) close() {}

type cutter struct {
	to   io.Writer
	at   int
	seen int
	cut  bool
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.cut {
		return 0, io.ErrClosedPipe
	}
	if c.at > 0 && c.seen+len(p) > c.at {
		c.cut = true
		n, _ := c.to.Write(p[:c.at-c.seen])
		return n, io.ErrClosedPipe
	}
	c.seen += len(p)
	return c.to.Write(p)
}

// typed is what a person typed, and what came of it.
type typed struct {
	code           int
	stdout, stderr string
}

// upgrade types a command for the fake host.
func (h *fakeHost) upgrade(ctx context.Context, args ...string) typed {
	h.t.Helper()
	var out bytes.Buffer
	h.mu.Lock()
	errs := ear{words: h.hears, then: h.then}
	h.hears, h.then = "", nil
	h.mu.Unlock()
	var in io.Reader = strings.NewReader(h.input)
	if h.typed != "" {
		in = terminal(h.t, h.typed)
	}
	a := &app{stdin: in, stdout: &out, stderr: &errs, redactor: &secret.Redactor{},
		env: func(string) string { return "" }}
	a.server = a.thisServer
	a.reach = func(context.Context, *ui.Printer, target, time.Duration) (way, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.dials++
		return h, nil
	}
	args = append(args, "--local")
	return typed{code: a.main(ctx, args), stdout: out.String(), stderr: errs.text.String()}
}

// ear is a stderr that does something as soon as it has heard some words.
type ear struct {
	text  bytes.Buffer
	words string
	then  func()
}

func (e *ear) Write(p []byte) (int, error) {
	n, err := e.text.Write(p)
	if e.then != nil && strings.Contains(e.text.String(), e.words) {
		e.then()
		e.then = nil
	}
	return n, err
}

// record is the host's record on its disk.
func (h *fakeHost) record() *state.State {
	h.t.Helper()
	s, err := state.Load(filepath.Join(h.root, state.Path))
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// files lists every file of the host with its content, without what a check may write.
func (h *fakeHost) files() map[string]string {
	h.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(h.root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "upgrade" || d.Name() == filepath.Base(state.PendingFile) {
			return err
		}
		data, err := os.ReadFile(path)
		info, _ := d.Info()
		found[path] = info.ModTime().String() + string(data)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}
