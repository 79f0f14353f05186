package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// computer is what the figures depend on.
type computer struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"` // that the bench and its machines may use
	MemoryMB  int    `json:"memory_mb"`
	Kernel    string `json:"kernel"`
	Disk      string `json:"disk"` // of /var/lib/townsquare-cloud
}

// describe says what this computer is.
func describe() (computer, error) {
	c := computer{Cores: runtime.NumCPU()} // those that this process may run on
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return c, err
	}
	c.Processor = field(string(text), "model name")
	if text, err = os.ReadFile("/proc/meminfo"); err != nil {
		return c, err
	}
	var kb int
	if _, err := fmt.Sscanf(field(string(text), "MemTotal"), "%d kB", &kb); err != nil {
		return c, fmt.Errorf("read /proc/meminfo: %w", err)
	}
	c.MemoryMB = kb >> 10
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return c, err
	}
	c.Kernel = unix.ByteSliceToString(name.Release[:])
	c.Disk, err = disk("/var/lib")
	return c, err
}

// loadNow are this computer's load averages.
func loadNow() (string, error) {
	text, err := os.ReadFile("/proc/loadavg")
	return strings.TrimSpace(string(text)), err
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

// field is what stands after "name :" in a file of lines.
func field(text, name string) string {
	for _, line := range lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// disk names the file system and the device that dir is on.
func disk(dir string) (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	found, longest := "", 0
	for _, line := range lines(string(text)) {
		left, right, ok := strings.Cut(line, " - ")
		mount, kind := strings.Fields(left), strings.Fields(right)
		if !ok || len(mount) < 5 || len(kind) < 2 {
			continue
		}
		at := mount[4]
		if (dir == at || at == "/" || strings.HasPrefix(dir, at+"/")) && len(at) >= longest {
			longest, found = len(at), kind[0]+" on "+filepath.Base(kind[1])
		}
	}
	return found, nil
}
