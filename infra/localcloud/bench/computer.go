package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

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
	total, err := memory(string(text), "MemTotal")
	if err != nil {
		return c, err
	}
	c.MemoryMB = int(total >> 20)
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

// memory is what /proc/meminfo says under a name, in bytes.
func memory(meminfo, name string) (int64, error) {
	var kb int64
	if _, err := fmt.Sscanf(field(meminfo, name), "%d kB", &kb); err != nil {
		return 0, fmt.Errorf("read %s in /proc/meminfo: %w", name, err)
	}
	return kb << 10, nil
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
