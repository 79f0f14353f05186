package phase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/golden"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// world is a host in small: what the fake phases change, and what must be as before after a failure.
type world struct {
	Active string
	Up     bool
	Litter []string

	disk   state.State // the record as it was last saved
	ran    map[string]int
	undone map[string]int
	events []Event
	freed  int
}

// step is a fake phase with a mutation of the world and its undo.
type step struct {
	title string
	run   func(ctx context.Context, op *Operation) error
	undo  func(ctx context.Context, op *Operation) error
	w     *world
}

func (s *step) ID() string    { return s.title }
func (s *step) Title() string { return "do " + s.title }

func (s *step) Run(ctx context.Context, op *Operation) error {
	s.w.ran[s.title]++
	if s.run == nil {
		return nil
	}
	return s.run(ctx, op)
}

type undoStep struct{ *step }

func (s undoStep) Undo(ctx context.Context, op *Operation) error {
	s.w.undone[s.title]++
	return s.undo(ctx, op)
}

var _ Undoer = undoStep{}

func newWorld() (*world, *Operation) {
	w := &world{Active: "1", Up: true, ran: map[string]int{}, undone: map[string]int{}}
	w.disk = state.State{Kind: state.Kind, Version: state.Version, Active: "1"}
	op := &Operation{ID: "20261122T010000Z-apply", Name: "apply", Record: &state.State{Active: "1"}}
	op.Emit = func(e Event) { w.events = append(w.events, e) }
	op.Save = func() error {
		op.Record.Kind, op.Record.Version = state.Kind, state.Version
		data, err := json.Marshal(op.Record)
		if err != nil {
			return err
		}
		w.disk = state.State{}
		return json.Unmarshal(data, &w.disk)
	}
	op.Lock = func(context.Context, string, func(error)) (func() error, error) {
		return func() error { w.freed++; return nil }, nil
	}
	return w, op
}

// phases is an upgrade in small, with the same order of dangers as the real one.
func (w *world) phases() []Phase {
	return []Phase{
		&step{title: "facts", w: w},
		&step{title: "lock", w: w, run: func(ctx context.Context, op *Operation) error {
			return op.Acquire(ctx, state.Run{From: "1", To: "2"})
		}},
		undoStep{&step{title: "fetch", w: w,
			run: func(context.Context, *Operation) error { w.Litter = append(w.Litter, "2"); return nil },
			undo: func(context.Context, *Operation) error {
				w.Litter = slices.DeleteFunc(w.Litter, func(s string) bool { return s == "2" })
				return nil
			}}},
		undoStep{&step{title: "stop", w: w,
			run: func(_ context.Context, op *Operation) error {
				op.Record.Run.Stopped = true
				if err := op.Save(); err != nil {
					return err
				}
				op.Down()
				w.Up = false
				return nil
			},
			undo: func(_ context.Context, op *Operation) error {
				if !op.Record.Run.Stopped {
					return nil
				}
				w.Up = true
				op.Up()
				op.Record.Run.Stopped = false
				return op.Save()
			}}},
		undoStep{&step{title: "swap", w: w,
			run:  func(context.Context, *Operation) error { w.Active = "2"; return nil },
			undo: func(context.Context, *Operation) error { w.Active = "1"; return nil }}},
		&step{title: "open", w: w, run: func(_ context.Context, op *Operation) error { w.Up = true; op.Up(); return nil }},
		&step{title: "commit", w: w, run: func(_ context.Context, op *Operation) error {
			op.Record.Active, op.Record.Previous = "2", "1"
			op.Record.Run.Committed = true
			return op.Save()
		}},
	}
}

// fail makes the named phase do half of its work and then fail.
func fail(phases []Phase, title string, err error) {
	for _, p := range phases {
		s, ok := p.(*step)
		if u, is := p.(undoStep); is {
			s, ok = u.step, true
		}
		if !ok || s.title != title {
			continue
		}
		run := s.run
		s.run = func(ctx context.Context, op *Operation) error {
			if run != nil {
				if e := run(ctx, op); e != nil {
					return e
				}
			}
			return err
		}
	}
}

// TestFailureOfEveryStep fails each phase in turn; the golden files hold how the world ends.
func TestFailureOfEveryStep(t *testing.T) {
	boom := errors.New("boom")
	for _, title := range []string{"", "facts", "lock", "fetch", "stop", "swap", "open", "commit"} {
		name := "fail-" + title
		if title == "" {
			name = "done"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, op := newWorld()
				phases := w.phases()
				fail(phases, title, boom)
				report, err := Run(t.Context(), phases, op)
				golden.Check(t, name+".golden", w.summary(report, err))
			})
		})
	}
}

func (w *world) summary(r Report, err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "error: %v (%T)\nexit: %d\noutcome: %s\n", err, err, Code(err), r.Outcome)
	fmt.Fprintf(&b, "active: %s  up: %v  litter: %v\n", w.Active, w.Up, w.Litter)
	fmt.Fprintf(&b, "record: active %q previous %q run %v history %d bad %v\n",
		w.disk.Active, w.disk.Previous, w.disk.Run != nil, len(w.disk.History), len(w.disk.Bad))
	fmt.Fprintf(&b, "lock freed: %d\n", w.freed)
	for _, e := range w.events {
		fmt.Fprintf(&b, "%-10s %s\n", e.Kind, strings.TrimSpace(e.Step+" "+e.Text))
	}
	return b.String()
}

func TestExitCodes(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{boom, 1},
		{&Refused{Problems: problem.List{{Where: "disk"}}}, 3},
		{&RolledBack{Cause: boom}, 4},
		{&NotRolledBack{Cause: boom, Undo: boom}, 5},
		{&host.LockedError{}, 11},
		{fmt.Errorf("start: %w", ErrInterrupted), 130},
		{&RolledBack{Cause: fmt.Errorf("start: %w", ErrInterrupted)}, 130},
		{&NotRolledBack{Cause: ErrInterrupted, Undo: boom}, 5},
		{&RolledBack{Cause: &BadVersion{Version: "2", Cause: boom}}, 4},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("Code(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestDoneEndsWithoutATrace(t *testing.T) {
	w, op := newWorld()
	phases := w.phases()
	fail(phases, "facts", Done)
	op.Save = func() error { t.Error("saved"); return nil }
	report, err := Run(t.Context(), phases, op)
	if err != nil || !report.UpToDate || report.Exit != 0 || len(w.ran) != 1 {
		t.Errorf("report %+v, error %v, ran %v", report, err, w.ran)
	}
}

func TestProgressIsThinnedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, op := newWorld()
		phases := []Phase{&step{title: "fetch", w: w, run: func(_ context.Context, op *Operation) error {
			for i := range int64(1001) {
				op.Progress(i, 1000, "bytes")
				time.Sleep(time.Millisecond)
			}
			return nil
		}}}
		if _, err := Run(t.Context(), phases, op); err != nil {
			t.Fatal(err)
		}
		var n int
		var last Event
		for _, e := range w.events {
			if e.Kind == Progress {
				n, last = n+1, e
			}
		}
		if n < 4 || n > 6 || last.Done != 1000 {
			t.Errorf("%d events on progress, the last at %d", n, last.Done)
		}
	})
}

func TestDowntime(t *testing.T) {
	for name, test := range map[string]struct {
		from string
		want []Kind
	}{
		"upgrade":            {"1", []Kind{DownStart, DownEnd}},
		"first installation": {"", nil}, // nobody misses what was never there
	} {
		t.Run(name, func(t *testing.T) {
			w, op := newWorld()
			op.Record.Run = &state.Run{ID: op.ID, From: test.from, To: "2"}
			newLog(op)
			op.Down()
			op.Up()
			var got []Kind
			for _, e := range w.events {
				got = append(got, e.Kind)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("events %v, want %v", got, test.want)
			}
		})
	}
}
