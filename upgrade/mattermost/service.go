package mattermost

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"townsquare/upgrade/host"
)

// young is how long after its start a server may still sleep when it is told to stop: it closes HTTP
// first and then waits for its jobs' watcher, which sleeps for up to 15 s before its first look and is
// started a second or two after the process. Measured with 7.7 and 9.10; channels/jobs/jobs_watcher.go.
const young = 17 * time.Second

// poll is how often the service is looked at while it starts: the service is away meanwhile. Each look
// takes processor time from the start, so that where systemd tells us itself there is none before
// most starts are over (pollTold).
const (
	poll     = 50 * time.Millisecond
	pollTold = 500 * time.Millisecond
)

// Service is the unit as something that starts and stops.
type Service struct {
	Unit string
	Run  Runner // nil means host.Run
}

// Status is the unit's state at one moment.
type Status struct {
	Active   string // active, activating, inactive, failed, …
	Sub      string // running, auto-restart, start, …
	Result   string // success, exit-code, signal, timeout, …
	PID      int
	Restarts int
	CPU      time.Duration // used by the service's processes since they started; 0 when systemd does not count
	Code     int           // exit status of the last main process
	Age      time.Duration // of the main process; 0 when there is none
}

// Crashed says that the main process is gone though nobody stopped it. systemd never says "failed"
// of a unit with Restart=always: it shows auto-restart and counts.
func (s Status) Crashed(restartsBefore int) bool {
	return s.Active == "failed" || s.Sub == "auto-restart" || s.Sub == "auto-restart-queued" ||
		s.Restarts > restartsBefore || (s.PID == 0 && s.Active == "inactive")
}

// Off says that nothing runs and nothing is going to: not so of a service that crashes and is
// restarted all the time.
func (s Status) Off() bool { return s.Active == "inactive" || s.Active == "failed" }

// ErrExited and ErrNotReady are what a version does that is broken; WaitReady wraps them.
// ErrNotStarted is systemd's doing: a mount, a unit or room on a disk that the service needs is missing.
var (
	ErrExited     = errors.New("the server exited")
	ErrNotReady   = errors.New("the server did not become ready")
	ErrNotStarted = errors.New("systemd did not start the service")
)

func (s Service) run(ctx context.Context, args ...string) ([]byte, error) {
	run := s.Run
	if run == nil {
		run = host.Run
	}
	return run(ctx, host.Command{Name: "systemctl", Args: args})
}

// Status asks systemd.
func (s Service) Status(ctx context.Context) (Status, error) {
	out, err := s.run(ctx, "show", "--property=ActiveState,SubState,Result,MainPID,NRestarts,ExecMainStatus,CPUUsageNSec,ExecMainStartTimestampMonotonic", s.Unit)
	if err != nil {
		return Status{}, fmt.Errorf("ask systemd about %s: %w", s.Unit, err)
	}
	p := properties(string(out))
	st := Status{Active: p["ActiveState"], Sub: p["SubState"], Result: p["Result"]}
	st.PID, _ = strconv.Atoi(p["MainPID"])
	st.Restarts, _ = strconv.Atoi(p["NRestarts"])
	st.Code, _ = strconv.Atoi(p["ExecMainStatus"])
	if used, err := strconv.ParseInt(p["CPUUsageNSec"], 10, 64); err == nil {
		st.CPU = time.Duration(used)
	}
	if started, err := strconv.ParseInt(p["ExecMainStartTimestampMonotonic"], 10, 64); err == nil && st.PID != 0 {
		st.Age = ageOf(started)
	}
	return st, nil
}

// WaitSettled returns once the server is old enough to stop at once; at once when it does not run.
func (s Service) WaitSettled(ctx context.Context) error {
	st, err := s.Status(ctx)
	if err != nil || st.PID == 0 || st.Age >= young {
		return err
	}
	select {
	case <-time.After(young - st.Age):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Forgive clears what a crash loop left in systemd: its rate limit, and the count of restarts.
func (s Service) Forgive(ctx context.Context) error {
	if _, err := s.run(ctx, "reset-failed", s.Unit); err != nil && !notLoaded(err) {
		return fmt.Errorf("reset %s: %w", s.Unit, err)
	}
	return nil
}

// Launch asks for a start and returns at once; WaitReady says how it went. What it returns is closed
// as soon as systemd is done with it, well or not: then there is something to see.
func (s Service) Launch(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.run(ctx, "start", s.Unit) // how it went is for WaitReady to find out
	}()
	return done
}

// Start asks for a start and returns at once; WaitReady says how it went. What a crash loop left in
// systemd is cleared first.
func (s Service) Start(ctx context.Context) error {
	if err := s.Forgive(ctx); err != nil {
		return fmt.Errorf("start %s: %w", s.Unit, err)
	}
	if _, err := s.run(ctx, "start", "--no-block", s.Unit); err != nil {
		return fmt.Errorf("start %s: %w", s.Unit, err)
	}
	return nil
}

// notLoaded: reset-failed of a unit that never ran is an error, and means nothing to us.
func notLoaded(err error) bool {
	var exit *host.ExitError
	return errors.As(err, &exit) && strings.Contains(exit.Stderr, "not loaded")
}

// Stop stops the service and waits; requests in flight are finished. It is no error when it did
// not run.
func (s Service) Stop(ctx context.Context) error {
	if _, err := s.run(ctx, "stop", s.Unit); err != nil {
		return fmt.Errorf("stop %s: %w", s.Unit, err)
	}
	return nil
}

// Kill ends the service without its consent, and keeps systemd from restarting it. For a version
// that must go quickly: a young one would sleep first.
func (s Service) Kill(ctx context.Context) error {
	// It fails when no process is left, which is what is wanted.
	_, killErr := s.run(ctx, "kill", "--signal=KILL", s.Unit)
	if err := s.Stop(ctx); err != nil {
		return errors.Join(err, killErr)
	}
	if _, err := s.run(ctx, "reset-failed", s.Unit); err != nil && !notLoaded(err) {
		return fmt.Errorf("reset %s: %w", s.Unit, err)
	}
	return nil
}

// Patience is how long a start may take.
type Patience struct {
	Limit time.Duration // in all
	Idle  time.Duration // without a sign of work; 0 means Limit alone counts
	// Busy says whether the server is at work on something we can see, such as its migrations. A
	// tenth of a processor's time is a sign of work as well.
	Busy func(context.Context) bool
	// Done is closed when it is worth a look before the next one is due; nil: looks are frequent.
	Done <-chan struct{}
	// Since is when the first of several attempts began, whose log counts; zero: this is the first.
	Since time.Time
}

// WaitReady waits until systemd calls the service active: with Type=notify that is after migrations
// and after the server listens. It ends early with ErrExited when the process is gone, and with
// ErrNotReady when patience is over.
func (s Service) WaitReady(ctx context.Context, p Patience) (Status, error) {
	began := time.Now()
	sign, looked, first := began, began, began
	if !p.Since.IsZero() {
		first = p.Since
	}
	every, told := poll, p.Done != nil
	if told {
		every = pollTold
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var seen bool
	var used time.Duration
	for looks := 0; ; looks++ {
		if looks > 0 || told {
			select {
			case <-tick.C:
			case <-p.Done:
				p.Done = nil
			case <-ctx.Done():
				return Status{}, context.Cause(ctx)
			}
		}
		st, err := s.Status(ctx)
		if err != nil {
			return st, err
		}
		seen = seen || st.PID != 0
		switch {
		case st.Active == "active":
			return st, nil
		case p.Done != nil && !seen: // what systemd says may still be of the version before
		case st.Crashed(0) && st.Active != "inactive" && (st.Result == "resources" || st.Result == "dependency"):
			return st, fmt.Errorf("%w: %s", ErrNotStarted, st.Result)
		case st.Active == "failed", st.Crashed(0) && (seen || st.Active != "inactive"):
			return st, s.exited(ctx, st, first)
		case st.Active == "inactive" && time.Since(began) > 5*time.Second:
			return st, fmt.Errorf("%w: a condition or a dependency of %s is not met", ErrNotStarted, s.Unit)
		}
		if since := time.Since(looked); since > time.Second {
			if st.CPU-used > since/10 || (p.Busy != nil && p.Busy(ctx)) {
				sign = time.Now()
			}
			looked, used = time.Now(), st.CPU
		}
		switch {
		case time.Since(began) > p.Limit:
			return st, fmt.Errorf("%w within %.0f s%s", ErrNotReady, p.Limit.Seconds(), cite(s.lastWords(ctx, first)))
		case p.Idle > 0 && time.Since(sign) > p.Idle:
			return st, fmt.Errorf("%w and did nothing for %.0f s%s", ErrNotReady, p.Idle.Seconds(), cite(s.lastWords(ctx, first)))
		}
	}
}
