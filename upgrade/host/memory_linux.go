package host

import (
	"bytes"
	"fmt"
	"os"
)

// PeakMemory is the most memory, in bytes, that this process held since it was asked the last time
// (VmHWM, proc_pid_status(5)); 0 when the kernel does not say.
func PeakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	// Begin anew (proc_pid_clear_refs(5)). Where that is not allowed it is the peak of the whole life.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kb int64
	if _, err := fmt.Sscanf(string(after[:min(len(after), 40)]), "%d kB", &kb); err != nil {
		return 0
	}
	return kb << 10
}
