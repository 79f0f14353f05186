package build

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgressOffATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		step := NewProgress(&out).Step("mattermost 9.10.0", "the real server", 3*time.Minute)
		time.Sleep(20 * time.Second)
		step.Status("compiled %d packages", 7)
		time.Sleep(15 * time.Second)
		step.Done("%s, kept in %s", Size(71_975_074), "/var/cache")
		want := "building mattermost 9.10.0: the real server (about 3 min on two cores, then kept)\n" +
			"  0:15  \n" +
			"  0:30  compiled 7 packages\n" +
			"  built mattermost 9.10.0 in 0:35: 72.0 MB, kept in /var/cache\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestProgressOnATerminalRewritesItsLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &Progress{out: &out, every: time.Second, live: true}
		step := p.Step("pebble", "", 0)
		time.Sleep(1500 * time.Millisecond)
		step.Failed()
		want := "\r\x1b[Kbuilding pebble\n\r\x1b[K  0:01  \r\x1b[K  pebble went wrong after 0:02\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{512: "0.5 kB", 38_400_000: "38.4 MB", 2_500_000_000: "2.5 GB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %s, want %s", n, got, want)
		}
	}
}
