package schedule

import (
	"strings"
	"testing"
	"time"
)

func calendar(t *testing.T, window string, freeze ...string) Calendar {
	t.Helper()
	w, err := ParseWindow(window)
	if err != nil {
		t.Fatal(err)
	}
	c := Calendar{Window: w}
	for _, text := range freeze {
		p, err := ParsePeriod(text)
		if err != nil {
			t.Fatal(err)
		}
		c.Freeze = append(c.Freeze, p)
	}
	return c
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestMay: 2026-11-22 is a Sunday.
func TestMay(t *testing.T) {
	const berlin = "Sun 03:00-05:00 Europe/Berlin"
	const many = "Mon-Fri 23:00-02:00; Sat,Sun 01:00-06:00,13:00-14:00 America/New_York"
	for _, c := range []struct{ name, window, at, next string }{ // next empty: now
		{"no window, by day", "", "2026-11-24T12:00:00Z", "2026-11-25T01:00:00Z"},
		{"no window, at night", "", "2026-11-24T04:59:59Z", ""},
		{"first moment", berlin, "2026-11-22T02:00:00Z", ""},
		{"just before", berlin, "2026-11-22T01:59:59Z", "2026-11-22T02:00:00Z"},
		{"last moment", berlin, "2026-11-22T03:59:59Z", ""},
		{"just after", berlin, "2026-11-22T04:00:00Z", "2026-11-29T02:00:00Z"},
		{"in summer an hour earlier", berlin, "2026-07-05T01:00:00Z", ""},
		{"UTC without a zone", "daily 02:00-04:00", "2026-11-24T03:00:00Z", ""},
		{"after midnight, of the day before", many, "2026-11-28T06:30:00Z", ""}, // Sat 01:30 in New York, of Friday
		{"Saturday has its own", many, "2026-11-28T18:30:00Z", ""},              // Sat 13:30
		{"between two on one day", many, "2026-11-28T12:00:00Z", "2026-11-28T18:00:00Z"},
		{"Sunday night is not Monday's", many, "2026-11-30T04:30:00Z", "2026-12-01T04:00:00Z"}, // Sun 23:30
		{"a week's end to its beginning", "Sat-Mon 00:00-01:00", "2026-11-23T00:30:00Z", ""},
		{"whole days", "Sat 00:00-24:00", "2026-11-28T23:59:59Z", ""},
		{"eight is no octal number", "daily 08:09-09:08", "2026-11-24T07:00:00Z", "2026-11-24T08:09:00Z"},
		{"nor is nine", "daily 08:09-09:08", "2026-11-24T09:08:00Z", "2026-11-25T08:09:00Z"},
		{"and no more", "Sat 00:00-24:00", "2026-11-29T00:00:00Z", "2026-12-05T00:00:00Z"},

		// Berlin puts the clock forward on 2027-03-28 at 01:00Z, from 02:00 to 03:00.
		{"gap: begins in it", "Sun 02:30-04:00 Europe/Berlin", "2027-03-28T00:59:59Z", "2027-03-28T01:00:00Z"},
		{"gap: ends after it, as the clock shows", "Sun 02:30-04:00 Europe/Berlin", "2027-03-28T01:59:59Z", ""},
		{"gap: is over", "Sun 02:30-04:00 Europe/Berlin", "2027-03-28T02:00:00Z", "2027-04-04T00:30:00Z"},
		{"gap: ends in it", "Sun 01:00-02:30 Europe/Berlin", "2027-03-28T01:00:00Z", "2027-04-03T23:00:00Z"},
		{"gap: all in it is not lost", "Sun 02:00-03:00 Europe/Berlin", "2027-03-28T01:30:00Z", ""},
		{"gap: and lasts as long as it says", "Sun 02:00-03:00 Europe/Berlin", "2027-03-28T02:00:00Z", "2027-04-04T00:00:00Z"},

		// And back on 2026-10-25 at 01:00Z, from 03:00 to 02:00.
		{"fold: begins at the first", "Sun 02:15-02:30 Europe/Berlin", "2026-10-25T00:15:00Z", ""},
		{"fold: not at the second", "Sun 02:15-02:30 Europe/Berlin", "2026-10-25T01:15:00Z", "2026-11-01T01:15:00Z"},
		{"fold: ends when the clock shows it first", "Sun 01:00-02:30 Europe/Berlin", "2026-10-25T00:30:00Z", "2026-11-01T00:00:00Z"},
		{"fold: both hours", "Sun 02:00-03:00 Europe/Berlin", "2026-10-25T01:59:59Z", ""},
		{"a zone where midnight does not exist", "daily 00:00-02:00 America/Havana", "2027-03-14T05:00:00Z", ""}, // 01:00
		{"half an hour's change", "Sun 02:00-02:30 Australia/Lord_Howe", "2026-10-03T15:45:00Z", ""},             // 02:00 becomes 02:30
	} {
		got := calendar(t, c.window).May(Ask{Kind: Upgrade}, instant(t, c.at))
		want := Answer{Now: c.next == ""}
		if c.next != "" {
			want.Next = instant(t, c.next)
		}
		if got.Now != want.Now || !got.Next.Equal(want.Next) || got.Now == (got.Why != "") {
			t.Errorf("%s: %q at %s: now %v, next %s, %q; want now %v, next %q", c.name, c.window, c.at,
				got.Now, got.Next.UTC().Format(time.RFC3339), got.Why, want.Now, c.next)
		}
	}
}

func TestFreeze(t *testing.T) {
	c := calendar(t, "Sun 23:00-02:00 Europe/Berlin", "2026-12-20..2027-01-06", "2027-01-11")
	c.SecurityWithin = time.Hour
	long := instant(t, "2026-12-01T00:00:00Z")
	for _, test := range []struct {
		name, at, next string
		ask            Ask
	}{
		{"the last window before", "2026-12-13T22:30:00Z", "", Ask{Kind: Upgrade}},
		{"the first day, a Sunday", "2026-12-20T22:30:00Z", "2027-01-10T22:00:00Z", Ask{Kind: Upgrade}},
		{"the last day counts whole", "2027-01-06T22:59:59Z", "2027-01-10T22:00:00Z", Ask{Kind: System}},
		{"a day by itself cuts what goes on into it", "2027-01-10T23:00:00Z", "2027-01-17T22:00:00Z", Ask{Kind: Upgrade}},
		{"security waits, too", "2026-12-21T02:00:00Z", "2027-01-07T00:00:00Z", Ask{Kind: Upgrade, SecuritySince: long}},
		{"a backup does not", "2026-12-25T12:00:00Z", "", Ask{Kind: Backup}},
	} {
		got := c.May(test.ask, instant(t, test.at))
		if got.Now != (test.next == "") || !got.Now && !got.Next.Equal(instant(t, test.next)) {
			t.Errorf("%s: %+v, want %q", test.name, got, test.next)
		}
	}
	if why := c.May(Ask{Kind: Upgrade}, instant(t, "2026-12-25T12:00:00Z")).Why; !strings.Contains(why, "2026-12-20 to 2027-01-06 (freeze)") {
		t.Errorf("why is %q", why)
	}
	// Freezes in a row, and no window.
	c = calendar(t, "", "2026-12-27..2027-01-06", "2026-12-20..2026-12-26")
	if got := c.May(Ask{Kind: Upgrade}, instant(t, "2026-12-21T12:00:00Z")); got.Now || !got.Next.Equal(instant(t, "2027-01-07T01:00:00Z")) {
		t.Errorf("two in a row: %+v", got)
	}
	c = calendar(t, "Sun 03:00-05:00", "2026-12-20..2036-12-20")
	if got := c.May(Ask{Kind: Upgrade}, instant(t, "2026-12-21T12:00:00Z")); got.Now || got.Next.Before(instant(t, "2036-12-21T00:00:00Z")) {
		t.Errorf("ten years: %+v", got)
	}
}

// TestSecurity: after security_within, the next night will do.
func TestSecurity(t *testing.T) {
	c := calendar(t, "Sun 03:00-05:00 Europe/Berlin")
	c.SecurityWithin = 72 * time.Hour
	since := instant(t, "2026-11-22T09:00:00Z") // Sunday, after the window; due on Wednesday at 09:00Z
	for at, next := range map[string]string{
		"2026-11-25T02:00:00Z": "2026-11-26T00:00:00Z", // at night, but not due yet
		"2026-11-25T12:00:00Z": "2026-11-26T00:00:00Z",
		"2026-11-26T00:00:00Z": "",
		"2026-11-26T03:59:59Z": "",
		"2026-11-26T04:00:00Z": "2026-11-27T00:00:00Z",
		"2026-11-29T02:30:00Z": "", // window and night
	} {
		got := c.May(Ask{Kind: Upgrade, SecuritySince: since}, instant(t, at))
		if got.Now != (next == "") || !got.Now && !got.Next.Equal(instant(t, next)) {
			t.Errorf("at %s: %+v, want %q", at, got, next)
		}
	}
	if got := c.May(Ask{Kind: Upgrade}, instant(t, "2026-11-26T00:00:00Z")); got.Now {
		t.Errorf("what is no security fix: %+v", got)
	}
}

func TestReboot(t *testing.T) {
	c := calendar(t, "")
	if got := c.May(Ask{Kind: Reboot}, instant(t, "2026-11-24T12:00:00Z")); got.Now || !got.Next.Equal(instant(t, "2026-11-25T01:00:00Z")) {
		t.Errorf("without a window by day: %+v", got)
	}
	if got := c.May(Ask{Kind: Reboot}, instant(t, "2026-11-24T03:00:00Z")); !got.Now || !got.Until.Equal(instant(t, "2026-11-24T05:00:00Z")) {
		t.Errorf("without a window at night: %+v", got)
	}
	c = calendar(t, "Wed 12:00-13:00")
	if got := c.May(Ask{Kind: Reboot}, instant(t, "2026-11-24T03:00:00Z")); got.Now || !got.Next.Equal(instant(t, "2026-11-25T12:00:00Z")) {
		t.Errorf("with a window: %+v", got)
	}
}

func TestBadWindows(t *testing.T) {
	for _, text := range []string{"at night", "Sun", "Sun 3:00-05:00", "Sun 03:00-25:00", "Sun 24:00-01:00", "Sunday 03:00-05:00", "sun 03:00-05:00",
		"Sun 03:00-03:00", "Sun 03:00-05:00 Berlin", "Sun 03:00-05:00 Local", "Sun 03:00-05:00 ../../etc/passwd", "Sun,, 03:00-05:00",
		"Sun 03:00-05:00;", "; Sun 03:00-05:00", "Europe/Berlin", "Sun 03:00 - 05:00", "Sun-daily 03:00-05:00"} {
		if w, err := ParseWindow(text); err == nil {
			t.Errorf("%q is taken for %+v", text, w)
		}
	}
	for _, text := range []string{"", "2026-12-20..", "2027-01-06..2026-12-20", "2026-02-30", "Christmas", "2026-12-20-2027-01-06", "2026-12-20...2027-01-06"} {
		if p, err := ParsePeriod(text); err == nil {
			t.Errorf("%q is taken for %+v", text, p)
		}
	}
}

func FuzzParseWindow(f *testing.F) {
	f.Add("Mon-Fri 23:00-02:00; Sat,Sun 01:00-06:00,13:00-14:00 America/New_York")
	f.Add("daily 00:00-24:00")
	now := time.Date(2027, 3, 28, 0, 59, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseWindow(text)
		if err != nil || w.IsZero() {
			return
		}
		a := Calendar{Window: w}.May(Ask{Kind: Upgrade}, now)
		if !a.Now && !a.Next.After(now) || a.Now && !a.Until.After(now) {
			t.Errorf("%q: %+v", text, a)
		}
		if again, err := ParseWindow(w.String()); err != nil || len(again.parts) != len(w.parts) {
			t.Errorf("%q does not read back: %v", w, err)
		}
	})
}
