package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Date is a day on the calendar, wherever it is.
type Date struct {
	year  int
	month time.Month
	day   int
}

func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day) }

// noon is in the middle of the day, where no clock is changed, so that days can be counted.
func (d Date) noon() time.Time { return time.Date(d.year, d.month, d.day, 12, 0, 0, 0, time.UTC) }

func (d Date) add(days int) Date {
	t := d.noon().AddDate(0, 0, days)
	return Date{t.Year(), t.Month(), t.Day()}
}

func (d Date) weekday() time.Weekday { return d.noon().Weekday() }

// at is the first moment of the day at which the clock on the wall shows that many minutes since
// midnight, or more. time.Date alone does not promise which of two it gives when the clock is put
// back, nor what when it is put forward over them.
func (d Date) at(minutes int, zone *time.Location) time.Time {
	t := time.Date(d.year, d.month, d.day, minutes/60, minutes%60, 0, 0, zone)
	begin, end := t.ZoneBounds()
	if shown := t.Hour()*60 + t.Minute(); shown != minutes { // it never shows that
		if ahead := (shown - minutes + 24*60) % (24 * 60); ahead < 12*60 {
			return begin
		}
		return end
	}
	if begin.IsZero() {
		return t
	}
	_, before := begin.Add(-time.Second).Zone()
	_, now := t.Zone()
	if earlier := t.Add(-time.Duration(before-now) * time.Second); before > now && earlier.Before(begin) {
		return earlier
	}
	return t
}

// Period is some days, the first and the last included.
type Period struct{ From, To Date }

// AllowedPeriod is how a period is written.
const AllowedPeriod = `days such as "2026-12-20..2027-01-06", or one such as "2026-12-24"`

// ParsePeriod reads "2026-12-20..2027-01-06", or one day.
func ParsePeriod(text string) (Period, error) {
	from, to, isRange := strings.Cut(strings.TrimSpace(text), "..")
	if !isRange {
		to = from
	}
	first, err := time.Parse(time.DateOnly, strings.TrimSpace(from))
	if err != nil {
		return Period{}, fmt.Errorf("%q is no day", from)
	}
	last, err := time.Parse(time.DateOnly, strings.TrimSpace(to))
	if err != nil {
		return Period{}, fmt.Errorf("%q is no day", to)
	}
	if last.Before(first) {
		return Period{}, errors.New("it ends before it begins")
	}
	return Period{Date{first.Year(), first.Month(), first.Day()}, Date{last.Year(), last.Month(), last.Day()}}, nil
}

func (p Period) begin(zone *time.Location) time.Time { return p.From.at(0, zone) }
func (p Period) end(zone *time.Location) time.Time   { return p.To.add(1).at(0, zone) }

func (p Period) holds(t time.Time, zone *time.Location) bool {
	return !t.Before(p.begin(zone)) && t.Before(p.end(zone))
}
