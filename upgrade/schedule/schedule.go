// Package schedule says when something may be done with nobody watching: in the windows that the
// operator names, never on a day that is frozen, and at night when a security fix has waited for
// too long. It knows the calendar, time zones included, and nothing of hosts.
package schedule

import (
	"fmt"
	"time"
	_ "time/tzdata" // a host need not have the zones that its operator names
)

// Kind is what someone wants to begin.
type Kind string

// The kinds of work. Their names are those of the things that wait in a host's record.
const (
	Upgrade Kind = "upgrade" // of Mattermost
	System  Kind = "os"      // packages of the operating system
	Reboot  Kind = "reboot"
	Drift   Kind = "drift"  // a repair; unattended, only what the stack has changed
	Larger  Kind = "larger" // a step of Mattermost that waits for a person; nothing begins one by itself either
	Backup  Kind = "backup" // or the verification of one: it disturbs nobody

	// What keeps a host from being up to date, though no update waits for it. Nothing begins these either.
	Held        Kind = "held"        // newer versions that are skipped, or cannot be installed
	Unsupported Kind = "unsupported" // the installed version has reached its end of life

	// What the last look at the backups' repository found wrong.
	Repository Kind = "repository"
)

// Calendar is what an operator decided about the times of one host.
type Calendar struct {
	Window         Window        // when work may begin; the zero one: at night
	Freeze         []Period      // days on which nothing begins, security fixes included
	SecurityWithin time.Duration // how long a security fix may wait for a window; zero: as long as it takes
}

// Ask is a question to a calendar.
type Ask struct {
	Kind          Kind
	SecuritySince time.Time // since when a security fix waits for this; zero: none does
}

// Answer says whether it may begin.
type Answer struct {
	Now   bool
	Until time.Time // end of the opening that now is in; zero: it has none, as for a backup
	Next  time.Time // otherwise the next moment at which it may; zero: none within two years
	Why   string    // otherwise, as the end of "not now: …"
}

// Night is when nobody should notice: 01:00 to 05:00 in the window's zone. It lies within the night
// of Directive 2002/49/EC, Annex I (23:00 to 07:00 local time), two hours from either end, so that
// people have gone to bed, and a run that begins at the last moment has ended when they get up.
func Night(zone *time.Location) Window {
	return Window{zone: zone, parts: []part{{days: everyDay, begin: 1 * 60, end: 5 * 60}}}
}

// May answers whether it may begin now.
func (c Calendar) May(ask Ask, now time.Time) Answer {
	if ask.Kind == Backup {
		return Answer{Now: true}
	}
	windows := []Window{c.Window}
	if c.Window.IsZero() {
		windows[0] = Night(c.Window.Zone())
	}
	var due time.Time // from when a night will do
	if !ask.SecuritySince.IsZero() && c.SecurityWithin > 0 {
		due = ask.SecuritySince.Add(c.SecurityWithin)
		windows = append(windows, Night(c.Window.Zone()))
	}
	var first opening
	for i, w := range windows {
		from := now
		if i == 1 && due.After(now) {
			from = due
		}
		if next, ok := c.next(w, from); ok && (first.begin.IsZero() || next.begin.Before(first.begin)) {
			first = next
		}
	}
	switch {
	case first.begin.IsZero():
		return Answer{Why: c.why(ask.Kind, now)}
	case !first.begin.After(now):
		return Answer{Now: true, Until: first.end}
	}
	return Answer{Next: first.begin, Why: c.why(ask.Kind, now)}
}

// why says what holds it back.
func (c Calendar) why(kind Kind, now time.Time) string {
	for _, p := range c.Freeze {
		if p.holds(now, c.Window.Zone()) {
			return fmt.Sprintf("nothing is changed unattended from %s to %s (freeze)", p.From, p.To)
		}
	}
	switch {
	case c.Window.IsZero() && kind == Reboot:
		return fmt.Sprintf("a reboot waits for the night, 01:00-05:00 %s", c.Window.Zone())
	case c.Window.IsZero():
		return fmt.Sprintf("where no window is set, work is begun unattended only at night, 01:00-05:00 %s", c.Window.Zone())
	}
	return "work is begun unattended only in the window " + c.Window.String()
}

// next is the first opening of w that is not over at from, cut to what is not frozen; its begin is
// not before from.
func (c Calendar) next(w Window, from time.Time) (opening, bool) {
	at := from
	for range len(c.Freeze) + 1 { // the freezes may follow one another
		for _, p := range c.Freeze {
			if p.holds(at, c.Window.Zone()) {
				at = p.end(c.Window.Zone())
			}
		}
	}
	for o := range w.openings(at) {
		for _, p := range c.Freeze {
			begin, end := p.begin(c.Window.Zone()), p.end(c.Window.Zone())
			if !begin.After(o.begin) && end.After(o.begin) {
				o.begin = end
			}
			if begin.After(o.begin) && begin.Before(o.end) {
				o.end = begin
			}
		}
		if o.begin.Before(at) {
			o.begin = at
		}
		if o.begin.Before(o.end) {
			return o, true
		}
	}
	return opening{}, false
}
