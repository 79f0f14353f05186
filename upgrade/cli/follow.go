package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/ui"
)

// errUnknown says that the connection was lost and made again, and that the host may have begun the
// run or not.
var errUnknown = errors.New("the server may have started the run or not")

// run starts what is asked for on the host, or follows the run that is in progress there already:
// then attached is true, and the report is of that one. The error is errUnknown when nobody can
// know which.
func (s *session) run(ctx context.Context, r request) (report phase.Report, attached bool, err error) {
	var started startAnswer
	err = s.ask(ctx, []string{"start"}, r, &started)
	switch {
	case errors.Is(err, host.ErrCut):
		if err := s.reconnect(ctx); err != nil {
			return report, false, err
		}
		return report, false, errUnknown
	case err != nil && ctx.Err() != nil: // the host may have heard of it, or not
		return report, false, s.detached(ctx)
	case err != nil:
		return report, false, err
	}
	if started.Attached {
		s.printer.Say("Someone else has just started a run on the server; following it.")
	}
	report, err = s.follow(ctx, started.Run)
	return report, started.Attached, err
}

// follow shows the run's events until its result. A cut connection is made again, and the events
// go on where they were. Ending ctx only stops the looking: the run goes on.
func (s *session) follow(ctx context.Context, id string) (phase.Report, error) {
	var (
		report phase.Report
		got    bool
		seen   int
		bad    error
		gone   time.Time // since when the host restarts, as the run asked it to
	)
	if _, err := phase.JournalPath("", id); err != nil { // it came from the server, and becomes a word of the next command
		return report, err
	}
	for {
		lines := &lineWriter{each: func(line []byte) {
			seen++
			e, err := phase.Decode(line)
			if err != nil {
				return // torn by a power cut or a full disk; the next one is whole
			}
			s.printer.Event(e)
			if gone = (time.Time{}); e.Kind == phase.Leaving {
				gone = e.Time
			}
			if e.Kind == phase.Result {
				got, bad = true, phase.ReadData(e, &report)
				report.Problems, report.Hint = s.printer.CompleteAll(report.Problems), s.printer.Complete(report.Hint)
			}
		}}
		err := s.call(ctx, []string{"events", "--follow", "--run", id, "--skip", strconv.Itoa(seen)}, nil, lines)
		switch {
		case bad != nil:
			return phase.Report{}, bad
		case got:
			return report, nil
		case ctx.Err() != nil:
			return report, s.detached(ctx)
		case err == nil:
			return report, phase.ErrSilent
		case !errors.Is(err, host.ErrCut):
			return report, remote(err)
		}
		if !gone.IsZero() {
			err = s.awaitBoot(ctx, gone)
		} else {
			err = s.reconnect(ctx)
		}
		if err != nil {
			return report, err
		}
	}
}

// awaitBoot waits for a host that restarts.
func (s *session) awaitBoot(ctx context.Context, since time.Time) (err error) {
	s.printer.Busy("waiting for the server to come up again")
	s.close()
	if s.way, err = s.again(ctx, reconnectFor); err == nil {
		s.printer.Say("The server is up again after %s.", ui.Took(time.Since(since)))
		return nil
	}
	s.way = nil
	if ctx.Err() != nil {
		return s.detached(ctx)
	}
	s.printer.Hint("look at its console, then: " + s.printer.Command("status"))
	return fmt.Errorf("the server went down at %s to restart and could not be reached again within %s; seen last: %w",
		since.Local().Format(time.TimeOnly), printable.Duration(reconnectFor), err)
}

// reconnect makes a cut connection again.
func (s *session) reconnect(ctx context.Context) (err error) {
	s.printer.Say("The connection was lost. The run goes on on the server; connecting again …")
	s.close()
	if s.way, err = s.again(ctx, reconnectFor); err == nil {
		s.printer.Say("Connected again.")
		return nil
	}
	s.way = nil
	if ctx.Err() != nil {
		return s.detached(ctx)
	}
	s.printer.Say("The run goes on on the server all the same.")
	s.printer.Hint("follow it when the server can be reached: " + s.printer.Command("follow"))
	return err
}

// detached says what a person who stopped looking can do.
func (s *session) detached(ctx context.Context) error {
	s.printer.Idle()
	if s.aside {
		return context.Cause(ctx)
	}
	s.printer.Say("You are no longer watching. The run goes on on the server.")
	s.printer.Hint("watch it again: " + s.printer.Command("follow"))
	s.printer.Hint("end it and put everything back: " + s.printer.Command("cancel"))
	if errors.Is(context.Cause(ctx), phase.ErrInterrupted) {
		return exitWith(phase.ExitInterrupted)
	}
	return context.Cause(ctx)
}
