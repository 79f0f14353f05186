package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/network"
)

// Running says whether the machine is on.
func (m *Machine) Running() bool {
	file, err := os.Open(m.lockPath())
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// readRunning reads what the supervisor wrote; an error if the machine is off
// or not yet that far.
func (m *Machine) readRunning() (running, error) {
	var run running
	if !m.Running() {
		return run, fmt.Errorf("machine %s is off", m.Spec.Name)
	}
	data, err := os.ReadFile(m.runPath())
	if err != nil {
		return run, err
	}
	return run, json.Unmarshal(data, &run)
}

// Rootfs is the root directory of the running machine as seen from outside;
// empty when it is off.
func (m *Machine) Rootfs() string {
	run, err := m.readRunning()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("/proc/%d/root", run.Leader)
}

// Start switches the machine on and returns when its systemd answers. It
// returns at once when the machine is running.
func (m *Machine) Start(ctx context.Context) error {
	if _, err := m.Cloud.Ask(ctx, http.MethodPost, "/machines/"+m.Spec.Name+"/start"); err != nil {
		return fmt.Errorf("start machine %s: %w", m.Spec.Name, err)
	}
	return m.awaitSystemd(ctx)
}

func (m *Machine) awaitSystemd(ctx context.Context) error {
	return m.poll(ctx, 2*time.Minute, "systemd does not answer", func() bool {
		out, _ := m.Exec(ctx, "systemctl", "is-system-running")
		switch strings.TrimSpace(out) {
		case "starting", "running", "degraded", "maintenance":
			return true
		}
		return false
	})
}

// Reboot restarts the machine in order and returns when its systemd answers
// again.
func (m *Machine) Reboot(ctx context.Context) error {
	before, err := m.readRunning()
	if err != nil {
		return err
	}
	if _, err := m.Exec(ctx, "systemctl", "reboot"); err != nil {
		return fmt.Errorf("reboot machine %s: %w", m.Spec.Name, err)
	}
	err = m.poll(ctx, 2*time.Minute, "it does not come back", func() bool {
		now, err := m.readRunning()
		return err == nil && now.Leader != before.Leader
	})
	if err != nil {
		return fmt.Errorf("reboot machine %s: %w", m.Spec.Name, err)
	}
	return m.awaitSystemd(ctx)
}

// WaitReady waits until the system has booted and cloud-init has finished. A
// cloud-init that ended in error is an error with its own report in it.
func (m *Machine) WaitReady(ctx context.Context) error {
	if err := m.awaitSystemd(ctx); err != nil {
		return err
	}
	out, err := m.Exec(ctx, "cloud-init", "status", "--wait", "--long")
	var failed *ExecError
	// 2: done, with warnings that do not stop a server from serving.
	if errors.As(err, &failed) && failed.Code != 2 {
		return fmt.Errorf("machine %s: cloud-init: %w\n%s", m.Spec.Name, err, strings.TrimSpace(out))
	}
	if err != nil && failed == nil {
		return err
	}
	return m.poll(ctx, 2*time.Minute, "boot does not finish", func() bool {
		out, _ := m.Exec(ctx, "systemctl", "is-system-running")
		out = strings.TrimSpace(out)
		return out == "running" || out == "degraded"
	})
}

func (m *Machine) poll(ctx context.Context, limit time.Duration, failure string, done func() bool) error {
	deadline := time.Now().Add(limit)
	for !done() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !m.Running() {
			return fmt.Errorf("machine %s went off (see %s)", m.Spec.Name, m.ConsolePath())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("machine %s: %s after %s (see %s)", m.Spec.Name, failure, limit, m.ConsolePath())
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

// powerOffSignal asks systemd for poweroff.target: SIGRTMIN+4.
const powerOffSignal = unix.Signal(34 + 4)

// PowerOff shuts the machine down in order. It returns at once when it is off.
// A machine that takes more than two minutes stays on, and that is an error.
func (m *Machine) PowerOff(ctx context.Context) error {
	run, err := m.readRunning()
	if err != nil {
		return m.awaitOff(ctx)
	}
	if err := unix.Kill(run.Leader, powerOffSignal); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("power off machine %s: %w", m.Spec.Name, err)
	}
	return m.awaitOff(ctx)
}

// awaitOff waits until nothing of the machine is left in the kernel, as the
// next user of its disk must find it free.
func (m *Machine) awaitOff(ctx context.Context) error {
	err := network.Settle(ctx, func() bool { return !m.Running() && loopsOf(m.dir) == 0 })
	if err != nil {
		return fmt.Errorf("wait for machine %s to be off (see %s): %w", m.Spec.Name, m.ConsolePath(), err)
	}
	return nil
}

// loopsOf counts the loop devices whose images lie in dir.
func loopsOf(dir string) int {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return 0
	}
	count := 0
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(data), dir+"/") {
			count++
		}
	}
	return count
}

// Kill pulls the plug: the network goes silent, writes that were not synced
// are lost, and no process gets to say goodbye. It returns at once when the
// machine is off, and also clears what a crash left of it.
func (m *Machine) Kill(ctx context.Context) error {
	groups, err := findCgroups(m.cgroupName())
	if err != nil {
		return err
	}
	var failed error
	if run, err := m.readRunning(); err == nil {
		// First the cable: a peer must see silence, not closed connections.
		_ = exec.Command("ip", "-n", m.Cloud.Namespace(), "link", "delete", m.hostInterface()).Run()
		failed = m.cutStorage(run)
		// The supervisor sees that, and tidies up after itself; if it is slow, that is done below.
		if err := groups.kill(ctx); err != nil {
			return err
		}
		moment, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if m.awaitOff(moment) != nil {
			_ = unix.Kill(run.Supervisor, unix.SIGKILL)
		}
	}
	// Once more, for a machine whose supervisor was killed: it was left to
	// itself.
	if err := groups.kill(ctx); err != nil {
		return err
	}
	if err := m.awaitOff(ctx); err != nil {
		return err
	}
	_ = os.Remove(m.runPath())
	return errors.Join(failed, groups.remove(ctx), m.forgetNspawn())
}

// cutStorage stops the file systems of the disk and of mounted volumes as they
// are: what was not yet written out never will be.
func (m *Machine) cutStorage(run running) error {
	failed := shutDown(fmt.Sprintf("/proc/%d/root%s/disk", run.Supervisor, m.dir))
	for _, device := range run.Volumes {
		mounted, err := mountPoints(run.Leader, device)
		failed = errors.Join(failed, err)
		if len(mounted) > 0 {
			failed = errors.Join(failed, shutDown(fmt.Sprintf("/proc/%d/root%s", run.Leader, mounted[0])))
		}
	}
	return failed
}

// ext4Shutdown is EXT4_IOC_SHUTDOWN of linux/fs/ext4/ext4.h, _IOR('X', 125,
// __u32), and noLogFlush its flag to leave even the journal unwritten.
const (
	ext4Shutdown = 0x8004587d
	noLogFlush   = uint32(2)
)

func shutDown(mountPoint string) error {
	dir, err := os.Open(mountPoint)
	if err != nil {
		return fmt.Errorf("cut off %s: %w", mountPoint, err)
	}
	defer dir.Close()
	flags := noLogFlush
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return fmt.Errorf("cut off %s: %w", mountPoint, errno)
	}
	return nil
}

// mountPoints lists where a process's mount namespace has a device mounted.
func mountPoints(pid int, device string) ([]string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(device, &stat); err != nil {
		return nil, fmt.Errorf("look at %s: %w", device, err)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, err
	}
	var points []string
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		// 4: the mounted root within the file system; binds of parts do too.
		if len(fields) > 4 && fields[2] == number {
			points = append(points, strings.NewReplacer(`\040`, " ", `\134`, `\`).Replace(fields[4]))
		}
	}
	return points, nil
}
