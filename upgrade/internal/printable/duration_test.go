package printable

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 20 * time.Second: "20 s", 60 * time.Second: "1 min", 10 * time.Minute: "10 min", 90 * time.Second: "1 min 30 s",
		time.Hour: "1 h", 36 * time.Hour: "36 h", 90 * time.Minute: "1 h 30 min", 100 * time.Millisecond: "0.10 s",
		1610 * time.Millisecond: "1.61 s", 12300 * time.Millisecond: "12.3 s", -5 * time.Minute: "-5 min",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}
