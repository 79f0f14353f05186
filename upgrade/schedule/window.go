package schedule

import (
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Window is a set of weekly times, such as "Sun 03:00-05:00 Europe/Berlin". The zero one says that
// nobody named any.
type Window struct {
	text  string
	zone  *time.Location
	parts []part
}

// part is some days with one range of wall-clock minutes. A range whose end is not after its begin
// goes on after midnight and belongs to the day on which it begins.
type part struct {
	days       [7]bool // by time.Weekday
	begin, end int     // minutes since midnight
}

// opening is one stretch of time; end is not part of it, and zero is no end.
type opening struct{ begin, end time.Time }

// Allowed is how a window is written, for whoever wrote it otherwise.
const Allowed = `days and times, with a zone or else UTC, such as "Sun 03:00-05:00 Europe/Berlin", "daily 02:00-04:00", ` +
	`"Mon-Fri 23:00-02:00; Sat,Sun 01:00-06:00,13:00-14:00 America/New_York"`

var (
	everyDay  = [7]bool{true, true, true, true, true, true, true}
	weekdays  = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	partShape = regexp.MustCompile(`^(\S+) (\S+)$`)
	timeShape = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])-(([01][0-9]|2[0-3]):([0-5][0-9])|24:00)$`)
)

// ParseWindow reads a window: parts with ";" between them, each the days ("daily", or a list of days
// and ranges of days) and a list of times, and at the end the zone by its IANA name. Empty text is
// the zero window.
func ParseWindow(text string) (Window, error) {
	text = strings.Join(strings.Fields(text), " ")
	w := Window{text: text, zone: time.UTC}
	if text == "" {
		return Window{}, nil
	}
	rest := text
	if i := strings.LastIndexByte(text, ' '); i > 0 && !strings.Contains(text[i:], ":") {
		name := text[i+1:]
		zone, err := time.LoadLocation(name)
		if err != nil || name == "Local" {
			return Window{}, fmt.Errorf("%q is no time zone", name)
		}
		w.zone, rest = zone, text[:i]
	}
	for piece := range strings.SplitSeq(rest, ";") {
		found, err := parsePart(strings.TrimSpace(piece))
		if err != nil {
			return Window{}, err
		}
		w.parts = append(w.parts, found...)
	}
	return w, nil
}

func parsePart(text string) ([]part, error) {
	m := partShape.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("%q is not days and times", text)
	}
	days, err := parseDays(m[1])
	if err != nil {
		return nil, err
	}
	var parts []part
	for times := range strings.SplitSeq(m[2], ",") {
		t := timeShape.FindStringSubmatch(times)
		if t == nil {
			return nil, fmt.Errorf("%q is no range of times", times)
		}
		p := part{days: days, begin: minutes(t[1], t[2]), end: minutes(t[4], t[5])}
		if t[3] == "24:00" {
			p.end = 0
		}
		if p.begin == p.end && p.begin != 0 {
			return nil, fmt.Errorf("%q is empty; a whole day is 00:00-24:00", times)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func minutes(hour, minute string) int {
	var h, m int
	h, _ = strconv.Atoi(hour) // the shape says that they are numbers, or empty
	m, _ = strconv.Atoi(minute)
	return h*60 + m
}

func parseDays(text string) (days [7]bool, err error) {
	if text == "daily" {
		return everyDay, nil
	}
	for piece := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(piece, "-")
		if !isRange {
			to = from
		}
		first, last := slices.Index(weekdays, from), slices.Index(weekdays, to)
		if first < 0 || last < 0 {
			return days, fmt.Errorf("%q is no day", piece)
		}
		for day := first; ; day = (day + 1) % 7 {
			days[day] = true
			if day == last {
				break
			}
		}
	}
	return days, nil
}

// IsZero says that no times are named.
func (w Window) IsZero() bool { return len(w.parts) == 0 }

// String is the window as it was written.
func (w Window) String() string { return w.text }

// Zone is where its days and times hold.
func (w Window) Zone() *time.Location {
	if w.zone == nil {
		return time.UTC
	}
	return w.zone
}

// openings are the stretches that are not over at from, in order of their begin, for two years.
func (w Window) openings(from time.Time) iter.Seq[opening] {
	return func(yield func(opening) bool) {
		year, month, day := from.In(w.Zone()).Date()
		for n := -2; n < 2*366; n++ { // of the days before: those that go on after midnight
			date := Date{year, month, day}.add(n)
			var today []opening
			for _, p := range w.parts {
				if o := p.on(date, w.Zone()); p.days[date.weekday()] && o.end.After(from) {
					today = append(today, o)
				}
			}
			slices.SortFunc(today, func(a, b opening) int { return a.begin.Compare(b.begin) })
			for _, o := range today {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// on is the opening of a day, by the clock on the wall: from the first moment at which it shows the
// begin, or more, to the first at which it shows the end. Where the clock is put forward over all of
// it, it lasts as long as it says from that moment on, as cron(8) runs what it would have missed.
func (p part) on(date Date, zone *time.Location) opening {
	last, length := date, p.end-p.begin
	if length <= 0 {
		last, length = date.add(1), length+24*60
	}
	o := opening{begin: date.at(p.begin, zone), end: last.at(p.end, zone)}
	if !o.begin.Before(o.end) {
		o.end = o.begin.Add(time.Duration(length) * time.Minute)
	}
	return o
}
