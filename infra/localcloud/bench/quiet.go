package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostStolen is the share of the processors' time that other virtual machines may have while people
// wait: with more, a measurement tells of them.
const mostStolen = 0.05

// spoilt says that others had the processors while people waited, here or in the baseline.
func (o outage) spoilt() bool { return o.Stolen != nil && *o.Stolen > mostStolen }

// calm waits until others leave this computer alone, but not longer than atMost.
func calm(ctx context.Context, atMost time.Duration) {
	for end := time.Now().Add(atMost); time.Now().Before(end) && ctx.Err() == nil; {
		looking, stop := context.WithTimeout(ctx, 3*time.Second)
		seen := watchStealing(looking)
		stop()
		if len(seen) > 0 && seen.share(seen[0].at, seen[len(seen)-1].at) <= mostStolen/2 {
			return
		}
	}
}

// leastFree is how much of this computer's memory may be free of anything when a measurement begins.
const leastFree = 1 << 30

// filler reads what is on the disk until memory is full of it, as that of a computer that has run for
// long. A virtual one that has just started, or given memory back, gets each page that it uses anew
// from its hypervisor: a copy of 1 GB took three times as long. It goes on where it ended the last
// time, as what it read then is in memory still.
type filler struct {
	next int
	file *os.File
}

// fill reads images, each at most once.
func (f *filler) fill(ctx context.Context, images []string) error {
	part, opened := make([]byte, 16<<20), 0
	for ctx.Err() == nil {
		text, err := os.ReadFile("/proc/meminfo")
		if err != nil {
			return err
		}
		if free, err := memory(string(text), "MemFree"); err != nil || free < leastFree {
			return err
		}
		if f.file == nil {
			if opened == len(images) {
				return nil // there is more memory than they fill
			}
			opened++
			if f.file, err = os.Open(images[f.next%len(images)]); err != nil {
				return err
			}
			f.next++
		}
		if _, err := io.ReadFull(f.file, part); err != nil { // the end of this one
			f.file.Close()
			f.file = nil
		}
	}
	return context.Cause(ctx)
}

// quietly measures again what others spoilt, as often as the suite has passes.
func (b *bench) quietly(measure func() error) error {
	for range b.passes {
		before := len(b.found.Outages)
		if err := measure(); err != nil {
			return err
		}
		if !slices.ContainsFunc(b.found.Outages[before:], outage.spoilt) {
			return nil
		}
		fmt.Println("          others had the processors meanwhile")
	}
	return nil
}

// stealing is what /proc/stat said at some moments.
type stealing []struct {
	at          time.Time
	stolen, all int64
}

// watchStealing looks ten times a second until ctx ends.
func watchStealing(ctx context.Context) (found stealing) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		text, err := os.ReadFile("/proc/stat")
		if err == nil {
			found = found.add(time.Now(), string(text))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return found
}

// add notes the first line of /proc/stat: the eighth number of it is the time that others had.
func (s stealing) add(at time.Time, stat string) stealing {
	line, _, _ := strings.Cut(stat, "\n")
	var stolen, all int64
	for i, word := range strings.Fields(strings.TrimPrefix(line, "cpu ")) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil || i > 7 { // guests' time stands after it, and is in the users' already
			break
		}
		if all += n; i == 7 {
			stolen = n
		}
	}
	return append(s, struct {
		at          time.Time
		stolen, all int64
	}{at, stolen, all})
}

// share is how much of the processors' time others had between two moments.
func (s stealing) share(from, to time.Time) float64 {
	first, last := -1, -1
	for i, one := range s {
		if !one.at.After(from) {
			first = i
		}
		if last < 0 && !one.at.Before(to) {
			last = i
		}
	}
	if first < 0 || last < 0 || s[last].all == s[first].all {
		return 0
	}
	return float64(s[last].stolen-s[first].stolen) / float64(s[last].all-s[first].all)
}
