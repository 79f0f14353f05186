package host

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process returns who we are across reboots: the process id, and the id of the boot it counts in.
func Process() (pid int, bootID string) {
	return os.Getpid(), bootOf("/proc")
}

// Ticks returns when this process started. With Process it tells it from all others.
func Ticks() uint64 {
	ticks, _ := startOf("/proc", os.Getpid())
	return ticks
}

// Alive reports whether another process than ours still runs: in this boot, under its number, and
// started at these ticks (a later process with a reused number is another one).
func Alive(pid int, bootID string, ticks uint64) bool {
	return pid != os.Getpid() && alive("/proc", pid, bootID, ticks)
}

// alive looks the process up in proc. What was written before ticks were has none: then any process
// of this program counts.
func alive(proc string, pid int, bootID string, ticks uint64) bool {
	if pid <= 0 || bootID == "" || bootID != bootOf(proc) {
		return false
	}
	started, runs := startOf(proc, pid)
	if ticks != 0 || !runs {
		return runs && started == ticks
	}
	program, err := os.Readlink(filepath.Join(proc, strconv.Itoa(pid), "exe"))
	return err == nil && strings.HasPrefix(filepath.Base(program), filepath.Base(Upgrader))
}

// startOf returns the start of a process in clock ticks since the boot, field 22 of its stat (proc(5)),
// and whether it runs. Setting the clock does not change it.
func startOf(proc string, pid int) (ticks uint64, runs bool) {
	stat, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // from field 3 on: the name before may hold anything
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return ticks, err == nil
}

// uptime is how long ago the boot was, suspension included (proc_uptime(5)); 0 where that is not known.
func uptime(proc string) time.Duration {
	data, err := os.ReadFile(filepath.Join(proc, "uptime"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), " ")
	since, err := time.ParseDuration(first + "s")
	if err != nil {
		return 0
	}
	return since
}

func bootOf(proc string) string {
	id, err := os.ReadFile(proc + "/sys/kernel/random/boot_id")
	if err != nil {
		return "" // not linux: no machine of ours, and nothing to compare with
	}
	return strings.TrimSpace(string(id))
}
