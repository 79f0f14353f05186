package host

import (
	"cmp"
	"fmt"
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
	stat, _ := ReadStat("/proc", os.Getpid()) // off Linux there is none
	return stat.Ticks
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
	stat, err := ReadStat(proc, pid)
	if err != nil || stat.Ended {
		return false
	}
	if ticks != 0 {
		return stat.Ticks == ticks
	}
	program, err := os.Readlink(filepath.Join(proc, strconv.Itoa(pid), "exe"))
	return err == nil && strings.HasPrefix(filepath.Base(program), filepath.Base(Upgrader))
}

// Stat is what the kernel says of a process. Setting the clock does not change it.
type Stat struct {
	Parent int
	Ticks  uint64 // its start after the boot, in 1/100 s
	Ended  bool   // a zombie: only its parent has to take note
}

// ReadStat reads fields 3, 4 and 22 of the process's stat in proc (proc(5)).
func ReadStat(proc string, pid int) (Stat, error) {
	data, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return Stat{}, err
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // from field 3 on: the name before may hold anything
	if len(fields) < 20 {
		return Stat{}, fmt.Errorf("process %d: its stat has %d fields after its name", pid, len(fields))
	}
	parent, err := strconv.Atoi(fields[1])
	ticks, ticksErr := strconv.ParseUint(fields[19], 10, 64)
	return Stat{Parent: parent, Ticks: ticks, Ended: fields[0] == "Z" || fields[0] == "X"}, cmp.Or(err, ticksErr)
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
