package services

import (
	"context"
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
func Sweep(ctx context.Context, cloud *network.Cloud) error {
	failed := endInside(ctx, cloud)
	failed = errors.Join(failed, cloud.DeleteNamespace())
	failed = errors.Join(failed, os.RemoveAll(filepath.Join("/etc/netns", cloud.Namespace())))
	if failed != nil {
		return failed // the state still says what there is to clean up
	}
	return os.RemoveAll(cloud.Dir)
}

// endInside ends the processes in the cloud's network namespace that were
// started for this cloud. Somebody's own shell in there is left alone.
func endInside(ctx context.Context, cloud *network.Cloud) error {
	began, signal := time.Now(), unix.SIGTERM
	err := network.Settle(ctx, func() bool {
		if time.Since(began) > time.Second {
			signal = unix.SIGKILL
		}
		found := inside(cloud)
		for _, pid := range found {
			_ = unix.Kill(pid, signal)
		}
		return len(found) == 0
	})
	if err != nil {
		return fmt.Errorf("end the processes in network namespace %s: %w", cloud.Namespace(), err)
	}
	return nil
}

func inside(cloud *network.Cloud) (found []int) {
	var want unix.Stat_t
	if unix.Stat(cloud.NamespacePath(), &want) != nil {
		return nil // no namespace, nobody in it
	}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net") // the pattern is a good one
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
		if err == nil && strings.Contains("\x00"+string(environment), "\x00"+network.Variable+"="+cloud.Name+"\x00") {
			found = append(found, pid)
		}
	}
	return found
}
