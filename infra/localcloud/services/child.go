package services

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"townsquare/infra/localcloud/network"
)

// startChild runs a server of the cloud's in its network, and returns a context that is cancelled
// when it ends, and a function that ends it. Of the command's arguments, mark is in no other's: the
// same server of a daemon that was killed still holds the port, and is ended first.
func startChild(ctx context.Context, cloud *network.Cloud, cmd *exec.Cmd, mark, log string) (alive context.Context, stop func(), err error) {
	name := filepath.Base(cmd.Path)
	if err := endOrphan(ctx, mark); err != nil {
		return nil, nil, fmt.Errorf("end %s of an earlier daemon: %w", name, err)
	}
	output, err := os.Create(log)
	if err != nil {
		return nil, nil, err
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = append(cmd.Environ(), network.Variable+"="+cloud.Name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cloud.Do(cmd.Start); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	alive, died := context.WithCancelCause(ctx)
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		died(fmt.Errorf("%s ended: %w", name, cmp.Or(cmd.Wait(), errors.New("exit code 0"))))
	}()
	return alive, func() {
		_ = cmd.Process.Kill()
		<-waited
	}, nil
}

// endOrphan ends the processes that have mark as an argument.
func endOrphan(ctx context.Context, mark string) error {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(data), "\x00"+mark+"\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		err = network.Settle(ctx, func() bool { return syscall.Kill(pid, 0) != nil || isZombie(pid) })
		if err != nil {
			return fmt.Errorf("wait for process %d: %w", pid, err)
		}
	}
	return nil
}

func isZombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(data), ") Z ")
}
