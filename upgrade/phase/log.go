package phase

import (
	"errors"
	"time"

	"townsquare/upgrade/state"
)

// progressEvery thins progress out: a person sees no more, and a log would only grow.
const progressEvery = 250 * time.Millisecond

// log stands between the phases and the command's Emit: it completes events, thins progress out
// and keeps what the report needs.
type log struct {
	out  func(Event)
	op   *Operation
	last time.Time // of the last progress event

	times    []state.PhaseTime
	warnings []string
	down     time.Time // since when; zero while the service is up
	was      time.Duration
}

func newLog(op *Operation) *log {
	l := &log{out: op.Emit, op: op}
	op.Emit = l.emit
	for _, n := range op.Notices {
		op.Warn("%s", n)
	}
	op.Notices = nil
	return l
}

func (l *log) emit(e Event) {
	e.Time, e.Run = time.Now().UTC(), l.op.ID
	if p := l.op.current; p != nil {
		e.Step, e.Phase = p.ID(), p.Title()
	}
	switch e.Kind {
	case Progress:
		if e.Done != e.Total && time.Since(l.last) < progressEvery {
			return
		}
		l.last = time.Now()
	case Warn:
		l.warnings = append(l.warnings, e.Text)
	case DownStart:
		if !l.down.IsZero() {
			return
		}
		l.down = time.Now()
	case DownEnd:
		if l.down.IsZero() {
			return
		}
		e.Took = time.Since(l.down)
		l.was, l.down = l.was+e.Took, time.Time{}
	case Begin:
		l.last = time.Time{}
	}
	l.out(e)
}

func (l *log) took(p Phase, d time.Duration) {
	l.times = append(l.times, state.PhaseTime{Step: p.ID(), Title: p.Title(), Took: d})
	if run := l.op.Record.Run; run != nil {
		run.Phases = l.times // saved with what comes next
	}
}

// downtime is how long the service was away in all, up to now if it still is.
func (l *log) downtime() time.Duration {
	if l.down.IsZero() {
		return l.was
	}
	return l.was + time.Since(l.down)
}

func from(op *Operation) string {
	if run := op.Record.Run; run != nil && run.ID == op.ID {
		return run.From
	}
	if op.Facts != nil && op.Facts.Installed() {
		return op.Facts.Version.String()
	}
	return ""
}

func target(op *Operation) string {
	if run := op.Record.Run; run != nil && run.ID == op.ID {
		return run.To
	}
	if op.Choice.Next != nil {
		return op.Choice.Next.Version.String()
	}
	return ""
}

func outcome(err error) string {
	switch {
	case err == nil:
		return OutcomeDone
	case errors.As(err, new(*Later)):
		return OutcomeLater
	case Code(err) == ExitNotRolledBack:
		return OutcomeNotRolledBack
	case errors.Is(err, ErrInterrupted):
		return OutcomeInterrupted
	case Code(err) == ExitRolledBack:
		return OutcomeRolledBack
	case Code(err) == ExitRefused:
		return OutcomeRefused
	default:
		return OutcomeFailed
	}
}
