package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHours(t *testing.T) {
	for _, c := range []struct {
		window string
		within time.Duration
		want   []string
	}{
		{"Sun 03:00-05:00 Europe/Berlin", 0, []string{"Sun *-*-* 03:00:00 Europe/Berlin", "Sun *-*-* 04:00:00 Europe/Berlin"}},
		{"Mon-Fri 23:30-00:15", 0, []string{"Mon,Tue,Wed,Thu,Fri *-*-* 23:30:00 UTC", "Tue,Wed,Thu,Fri,Sat *-*-* 00:30:00 UTC"}},
		{"", 0, []string{"*-*-* 01:00:00 UTC", "*-*-* 02:00:00 UTC", "*-*-* 03:00:00 UTC", "*-*-* 04:00:00 UTC"}},
		{"Sat,Sun 12:00-12:30", time.Hour, []string{"Sat,Sun *-*-* 12:00:00 UTC", "Sat,Sun *-*-* 13:00:00 UTC",
			"*-*-* 01:00:00 UTC", "*-*-* 02:00:00 UTC", "*-*-* 03:00:00 UTC", "*-*-* 04:00:00 UTC"}},
	} {
		calendar := calendar(t, c.window)
		calendar.SecurityWithin = c.within
		if diff := cmp.Diff(c.want, calendar.Hours(0)); diff != "" {
			t.Errorf("%q: %s", c.window, diff)
		}
	}
	want := []string{"Tue *-*-* 00:00:00 UTC", "Tue *-*-* 01:00:00 UTC"}
	if diff := cmp.Diff(want, calendar(t, "Mon 23:30-00:45").Hours(30)); diff != "" {
		t.Errorf("half an hour later: %s", diff)
	}
}
