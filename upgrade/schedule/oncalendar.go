package schedule

import (
	"fmt"
	"strings"
	"time"
)

// Hours are when timers should ask whether something may begin, as values of systemd's OnCalendar=
// (systemd.time(7)): at each begin in the window, and every hour after it, as what could not be done
// at first may be possible then. systemd leaves a time out that the clock skips, so the second hour
// is asked for even when the window is shorter. Nights are among them where there is no window, and
// where a fix need not wait for it. Asking too often, or at a host's boot because it was off at that
// time, costs nothing: May decides. What should let something else go first asks some minutes later.
func (c Calendar) Hours(later int) []string {
	parts := c.Window.parts
	if c.Window.IsZero() || c.SecurityWithin > 0 {
		parts = append(parts[:len(parts):len(parts)], Night(c.Window.Zone()).parts...)
	}
	var all []string
	for _, p := range parts {
		length := p.end - p.begin
		if length <= 0 {
			length += 24 * 60
		}
		for after := 0; after < max(length, 61); after += 60 {
			at := p.begin + after + later
			days := p.days
			if at >= 24*60 {
				at -= 24 * 60
				for day := range days {
					days[day] = p.days[(day+6)%7]
				}
			}
			all = append(all, onCalendar(days, at, c.Window.Zone()))
		}
	}
	return all
}

// Daily is a time of every day in the calendar's zone, and Weekly one of every week.
func (c Calendar) Daily(hour, minute int) string {
	return onCalendar(everyDay, hour*60+minute, c.Window.Zone())
}

// Weekly is Daily on one day of the week.
func (c Calendar) Weekly(day time.Weekday, hour, minute int) string {
	var days [7]bool
	days[day] = true
	return onCalendar(days, hour*60+minute, c.Window.Zone())
}

func onCalendar(days [7]bool, minutes int, zone *time.Location) string {
	var names []string
	for i := range days {
		if day := (i + 1) % 7; days[day] { // as systemd orders them
			names = append(names, weekdays[day])
		}
	}
	prefix := strings.Join(names, ",") + " "
	if days == everyDay {
		prefix = ""
	}
	return fmt.Sprintf("%s*-*-* %02d:%02d:00 %s", prefix, minutes/60, minutes%60, zone)
}
