package phase

import (
	"fmt"
	"time"

	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// Waiting is what an operation could do on this host.
type Waiting struct {
	What      string    // such as "Mattermost 9.10.1"; empty: nothing waits
	Security  bool      // a security fix is among it
	Published time.Time // since when the fix is to be had; zero: not known, so since it was first seen here
}

// Later says that an unattended run may not begin now: nothing was changed, and nothing failed.
type Later struct {
	Why    string    // as the end of "not now: …"
	Next   time.Time // when it may; zero: not by itself
	Person bool      // it waits for someone to type it
}

func (e *Later) Error() string {
	if e.Next.IsZero() {
		return "not now: " + e.Why
	}
	return fmt.Sprintf("not now: %s; next at %s", e.Why, e.Next.Format("2006-01-02 15:04 MST"))
}

// code is the exit code: who asks for an update that waits for a person must hear that there is one.
func (e *Later) code() int {
	if e.Person {
		return ExitAvailable
	}
	return ExitDone
}

// Due remembers what waits, and since when. In an unattended run the error is a *Later when it may
// not begin now; the phase that looked returns it as it is.
func (op *Operation) Due(kind schedule.Kind, w Waiting) error {
	pending := op.note(kind, w)
	if w.What == "" {
		return nil
	}
	return op.begin(kind, pending.Security)
}

// note remembers what waits, and returns since when.
func (op *Operation) note(kind schedule.Kind, w Waiting) state.Pending {
	now := time.Now().UTC()
	pending := state.Pending{What: w.What, Since: now}
	if w.Security {
		pending.Security = now
		if !w.Published.IsZero() && w.Published.Before(now) {
			pending.Security = w.Published
		}
	}
	if op.Pending != nil {
		known, err := op.Pending(kind, pending)
		if err != nil {
			op.Warn("%v", err)
		}
		pending = known
	}
	return pending
}

// begin asks the calendar of an unattended run; fix is since when a security fix waits for it.
func (op *Operation) begin(kind schedule.Kind, fix time.Time) error {
	if !op.Unattended {
		return nil
	}
	if later := op.closed(schedule.Ask{Kind: kind, SecuritySince: fix}); later != nil {
		return later
	}
	return nil
}

// closed says until when the host's calendar forbids it; nil when it does not.
func (op *Operation) closed(ask schedule.Ask) *Later {
	calendar := op.Config.Calendar()
	answer := calendar.May(ask, time.Now())
	if answer.Now {
		return nil
	}
	later := &Later{Why: answer.Why}
	if !answer.Next.IsZero() {
		later.Next = answer.Next.In(calendar.Window.Zone())
	}
	return later
}
