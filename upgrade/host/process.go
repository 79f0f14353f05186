package host

import (
	"os"
	"strings"
)

// Process returns who we are across reboots: the process id, and the id of the boot it counts in.
func Process() (pid int, bootID string) {
	return os.Getpid(), bootOf("/proc")
}

func bootOf(proc string) string {
	id, err := os.ReadFile(proc + "/sys/kernel/random/boot_id")
	if err != nil {
		return "" // not linux: no machine of ours, and nothing to compare with
	}
	return strings.TrimSpace(string(id))
}
