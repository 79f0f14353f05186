package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/infra/localcloud/community"
)

func TestRatioIsOfEachBoot(t *testing.T) {
	at := func(gap, base time.Duration) outage { return outage{Seen: community.Summary{Gap: gap}, Floor: base} }
	// A computer that was twice as slow in one of them.
	got := ratio([]outage{at(6, 5), at(12, 10), at(20, 10)})
	if got < 1.19 || got > 1.21 {
		t.Errorf("got %v", got)
	}
	if got := median([]time.Duration{4, 1, 3, 2}); got != 2 {
		t.Errorf("the median of four is %d", got)
	}
	if median(nil) != 0 || ratio(nil) != 0 {
		t.Error("nothing has a median")
	}
}

// Only the time in which people waited counts.
func TestStolenTime(t *testing.T) {
	at := func(n int) time.Time { return time.Time{}.Add(time.Duration(n) * time.Second) }
	var s stealing
	for i, stat := range []string{"cpu  10 0 0 100 0 0 0 5 7 0\ncpu0 1", "cpu  20 0 0 100 0 0 0 15 9 0\n", "cpu  30 0 0 110 0 0 0 15 9 0\n", "cpu  30 0 0 110 0 0 0 95 9 0\n"} {
		s = s.add(at(i), stat)
	}
	for _, c := range []struct {
		from, to int
		want     float64
	}{{0, 1, 0.5}, {1, 2, 0}, {0, 2, 0.25}, {2, 9, 0}} {
		if got := s.share(at(c.from), at(c.to)); got != c.want {
			t.Errorf("from %d to %d: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// What other virtual machines spoilt counts only where there is nothing better.
func TestLeavesOutWhatIsSpoilt(t *testing.T) {
	at := func(gap time.Duration, stolen float64) outage {
		return outage{How: toPatch, Size: "10k", Seen: community.Summary{Gap: gap, Asked: 10}, Floor: 1, Stolen: &stolen}
	}
	r := &results{Outages: []outage{at(9, 0.6)}}
	if got := ratio(r.of(toPatch, "10k")); got != 9 || r.left() != 0 {
		t.Errorf("alone: %v, %d left out", got, r.left())
	}
	r.Outages = append(r.Outages, at(2, mostStolen), at(3, mostStolen+0.01))
	if got := ratio(r.of(toPatch, "10k")); got != 2 || r.left() != 2 {
		t.Errorf("beside a better one: %v, %d left out", got, r.left())
	}
	if text := string(r.markdown()); !strings.Contains(text, "Of the 3 measurements of downtime, 2 in which") || !strings.Contains(text, "| apply patch | 30 |") {
		t.Errorf("it does not say what was left out, or does not count its requests:\n%s", text)
	}
}

// Only what the upgrader and its programs changed counts, and only what succeeded.
func TestChanges(t *testing.T) {
	log := `
100 clone(child_stack=NULL) = 200
200 openat(AT_FDCWD, "/var/log/wtmp", O_WRONLY) = 3
200 execve("/usr/bin/sudo", ["sudo", "/usr/local/bin/upgrade"], 0x1 /* 5 vars */) = 0
200 fchmod(3, 0600) = 0
200 execve("/usr/local/bin/upgrade", ["upgrade", "host"], 0x1 /* 5 vars */) = 0
200 openat(AT_FDCWD, "/etc/townsquare/upgrade.yaml", O_RDONLY|O_CLOEXEC) = 3
200 openat(AT_FDCWD, "/dev/null", O_RDWR|O_CLOEXEC) = 3
200 mkdir("/var/lib/townsquare", 0700) = -1 EEXIST (File exists)
200 clone(child_stack=0xc0) = 201
201 execve("/usr/bin/psql", ["psql"], 0x1) = 0
201 openat(AT_FDCWD, "/tmp/x", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 5
201 unlink("/tmp/x") = 0
300 execve("/usr/local/bin/upgrade", ["upgrade", "host"], 0x1 /* 5 vars */ <unfinished ...>
201 unlink("/tmp/y" <unfinished ...>
300 <... execve resumed>)             = 0
201 <... unlink resumed>)             = -1 ENOENT (No such file or directory)
300 fchmod(3, 0600) = 0
`
	want := []string{`openat(AT_FDCWD, "/tmp/x", O_WRONLY|O_CREAT|O_TRUNC, 0600)`, `unlink("/tmp/x")`, "fchmod(3, 0600)"}
	if diff := cmp.Diff(want, changes([]byte(log))); diff != "" {
		t.Error(diff)
	}
}

// What was not measured is a dash, never a number; and what is written is well-formed.
func TestWritesWhatWasMeasured(t *testing.T) {
	r := &results{home: t.TempDir(), shown: t.TempDir()}
	for _, s := range sizes {
		for how, gap := range map[string]time.Duration{floor: 500 * time.Millisecond, toPatch: 600 * time.Millisecond, toMinor: 800 * time.Millisecond, byGuide: 30 * time.Second} {
			o := outage{How: how, Size: s.name(), Posts: s.posts, Seen: community.Summary{Gap: gap, Asked: 10}, Load: "0.50 0.40 0.30 1/100 1", Commit: "abc"}
			if how != floor {
				o.Floor = 500 * time.Millisecond
			}
			if how == toMinor {
				o.Rehearsal = &rehearsal{Downtime: 500 * time.Millisecond}
			}
			if err := r.addOutage(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := string(r.markdown())
	for _, want := range []string{
		"| 1M | 0 MB | 0.0 GB | 0.50 s (1) | 0.60 s (1) | 1.20 | 0.80 s (1) | 1.60 | – | – | 30.0 s (1) | 50.0 | 0.5 | – |",
		"| a patch at 1M posts, × restart | ≤ 1.3 | 1.20 | kept |",
		"| a minor, migrated beside the users at 1M posts, × restart | ≤ 1.3 | 1.60 | **missed** |",
		"| the vendor's guide at 1M posts, × a patch | ≥ 30 | 50 (a bare restart: 60) | kept |",
		"| a rehearsal's foresight, × too long or too short, the worst | ≤ 1.5 | 1.60 of 3 (the median: 1.60) | **missed** |",
		"`apply patch` at 1M posts is 1.00 times that at 10k.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for _, no := range []string{"NaN", "Inf", "Memory", "Backups", "first login"} {
		if strings.Contains(text, no) {
			t.Errorf("it speaks of %q", no)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(string(r.plot()))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot: %v", err)
		}
	}
}

func TestMemory(t *testing.T) {
	free, err := memory("MemTotal:       24682828 kB\nMemFree:         8368252 kB\nMemAvailable:   24067432 kB\n", "MemFree")
	if want := int64(8368252) << 10; err != nil || free != want {
		t.Errorf("got %d, %v; want %d", free, err, want)
	}
	if _, err := memory("MemTotal: 1 kB\n", "MemFree"); err == nil {
		t.Error("no error without MemFree")
	}
}
