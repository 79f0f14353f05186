package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"townsquare/infra/localcloud/network"
)

// Spawn starts a supervisor as a process of its own and returns when its
// machine has a process 1. It is what the cloud's daemon does for Start.
func Spawn(ctx context.Context, cloud *network.Cloud, name string, argv ...string) error {
	m, err := Open(cloud, name)
	if err != nil {
		return err
	}
	if m.Running() {
		return nil
	}
	log, err := os.OpenFile(m.ConsolePath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	began, err := log.Seek(0, 2)
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", argv...)
	cmd.Args[0] = "localcloud"
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), network.Variable+"="+cloud.Name)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Unshareflags: syscall.CLONE_NEWNS}
	// A child belongs to the namespace of the thread that makes it.
	if err := cloud.Do(cmd.Start); err != nil {
		return fmt.Errorf("start machine %s: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("start machine %s: %w: %s", name, err, tailFrom(m.ConsolePath(), began))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
			if run, err := m.readRunning(); err == nil && run.Supervisor == cmd.Process.Pid {
				return nil
			}
		}
	}
}

func tailFrom(path string, offset int64) string {
	data, err := os.ReadFile(path)
	if err != nil || int64(len(data)) < offset {
		return ""
	}
	data = data[offset:]
	return strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}

// findLeader looks for the child of systemd-nspawn that is process 1 of its
// own namespace. 0: not there yet.
func findLeader(nspawn int) int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		parent, inner := 0, ""
		for _, line := range strings.Split(string(data), "\n") {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			switch fields[0] {
			case "PPid:":
				parent, _ = strconv.Atoi(fields[1])
			case "NSpid:":
				if len(fields) > 2 {
					inner = fields[len(fields)-1]
				}
			}
		}
		if parent == nspawn && inner == "1" {
			return pid
		}
	}
	return 0
}
