package services

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/network"
)

// Sweep removes what the daemon of a cloud leaves behind, also one that was
// killed, and the cloud's state. No machine may be running.
func Sweep(cloud *network.Cloud) error {
	failed := endInside(cloud)
	failed = errors.Join(failed, cloud.DeleteNamespace())
	failed = errors.Join(failed, os.RemoveAll(filepath.Join("/etc/netns", cloud.Namespace())))
	if failed != nil {
		return failed // the state still says what there is to clean up
	}
	return os.RemoveAll(cloud.Dir)
}

// endInside ends the processes in the cloud's network namespace that were
// started for this cloud. Somebody's own shell in there is left alone.
func endInside(cloud *network.Cloud) error {
	var want unix.Stat_t
	if err := unix.Stat(cloud.NamespacePath(), &want); err != nil {
		return nil // no namespace, nobody in it
	}
	for attempt := range 50 {
		found := 0
		links, err := filepath.Glob("/proc/[0-9]*/ns/net")
		if err != nil {
			return err
		}
		for _, link := range links {
			var have unix.Stat_t
			if unix.Stat(link, &have) != nil || have.Ino != want.Ino || have.Dev != want.Dev {
				continue
			}
			var pid int
			if _, err := fmt.Sscanf(strings.TrimPrefix(link, "/proc/"), "%d", &pid); err != nil || pid == os.Getpid() {
				continue
			}
			environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			if err != nil || !strings.Contains("\x00"+string(environment), "\x00"+network.Variable+"="+cloud.Name+"\x00") {
				continue
			}
			found++
			signal := unix.SIGTERM
			if attempt > 20 {
				signal = unix.SIGKILL
			}
			_ = unix.Kill(pid, signal)
		}
		if found == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("processes in network namespace %s do not end", cloud.Namespace())
}
