package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/network"
)

// cgroups are the control groups of one machine: one where the computer has
// cgroup v2 only, more where it has v1 with v2 beside it.
type cgroups struct {
	memory string // where memory is limited
	v2     bool   // memory is a v2 group
	all    []string
	mounts []string // where the hierarchy of each of all is mounted
}

// findCgroups reads where the hierarchies are mounted.
func findCgroups(name string) (cgroups, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return cgroups{}, err
	}
	var unified, memory, named string
	for _, line := range strings.Split(string(data), "\n") {
		left, right, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch {
		case kind[0] == "cgroup2" && unified == "":
			unified = fields[4]
		case kind[0] == "cgroup" && strings.Contains(","+kind[2]+",", ",memory,") && memory == "":
			memory = fields[4]
		case kind[0] == "cgroup" && strings.Contains(kind[2], "name=systemd"):
			named = fields[4]
		}
	}
	if unified == "" {
		return cgroups{}, errors.New("this computer has no cgroup2 mounted (try: mount -t cgroup2 none /sys/fs/cgroup/unified)")
	}
	g := cgroups{mounts: []string{unified}, memory: filepath.Join(unified, name), v2: true}
	if memory != "" {
		g.mounts, g.memory, g.v2 = append(g.mounts, memory), filepath.Join(memory, name), false
	}
	if named != "" {
		// systemd-nspawn makes groups of its own in there.
		g.mounts = append(g.mounts, named)
	}
	for _, mount := range g.mounts {
		g.all = append(g.all, filepath.Join(mount, name))
	}
	return g, nil
}

// create makes the groups with a limit in MiB.
func (g cgroups) create(limitMB int) error {
	for _, dir := range g.all {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("create control group: %w", err)
		}
	}
	file := "memory.limit_in_bytes"
	if g.v2 {
		file = "memory.max"
		// A controller reaches a group only if every group above passes it on.
		parent := filepath.Dir(g.memory)
		for _, dir := range []string{filepath.Dir(parent), parent} {
			err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory"), 0)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
				// Not worth refusing to boot: the kernel was built or started
				// without the controller (cgroup_disable=memory).
				fmt.Fprintln(os.Stderr, "localcloud: this computer cannot limit memory; the machine has no limit")
				return nil
			}
			if err != nil {
				return fmt.Errorf("limit memory: %w", err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(g.memory, file), []byte(strconv.Itoa(limitMB<<20)), 0); err != nil {
		return fmt.Errorf("limit memory to %d MiB: %w", limitMB, err)
	}
	return nil
}

// start starts a process inside the groups. The caller itself is in them only
// for that moment: with v2, a group that has processes of its own cannot hand
// its controllers on to the machine's systemd.
func (g cgroups) start(start func() error) (err error) {
	home, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	for _, dir := range g.all {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	err = start()
	for n, dir := range g.all {
		back := filepath.Join(g.mounts[n], pathIn(string(home), filepath.Base(g.mounts[n])), "cgroup.procs")
		if leaveErr := os.WriteFile(back, []byte("0"), 0); leaveErr != nil {
			err = errors.Join(err, fmt.Errorf("leave control group %s: %w", dir, leaveErr))
		}
	}
	return err
}

// pathIn finds the group of one hierarchy in a /proc/PID/cgroup file. A v1
// hierarchy is mounted under its controller's name, v2 under any.
func pathIn(list, mount string) string {
	unified := "/"
	for _, line := range strings.Split(list, "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) < 3 {
			continue
		}
		if parts[0] == "0" {
			unified = parts[2]
			continue
		}
		for _, controller := range strings.Split(parts[1], ",") {
			if strings.TrimPrefix(controller, "name=") == mount {
				return parts[2]
			}
		}
	}
	return unified
}

// visitors are the files that take a process from outside in. With v2 it may
// only join a group that has no others below, such as systemd-nspawn's own.
func (g cgroups) visitors() []string {
	files := []string{filepath.Join(g.all[0], "supervisor", "cgroup.procs")}
	if !g.v2 {
		files = append(files, filepath.Join(g.memory, "cgroup.procs"))
	}
	return files
}

// kill ends every process in the groups and below. Nothing but a machine's own
// processes is ever in there.
func (g cgroups) kill(ctx context.Context) error {
	err := network.Settle(ctx, func() bool {
		members := g.members()
		for _, pid := range members {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		return len(members) == 0
	})
	if err != nil {
		return fmt.Errorf("end the processes of the machine: %w", err)
	}
	return nil
}

// members lists the processes in the groups and below, but for the caller.
func (g cgroups) members() []int {
	var members []int
	for _, dir := range g.all {
		// No error is worth more than a look at the rest: groups vanish while one looks.
		_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil
			}
			data, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 && pid != os.Getpid() {
					members = append(members, pid)
				}
			}
			return nil
		})
	}
	return members
}

// remove deletes the groups, and those of the machine's own systemd under
// them. Groups vanish a moment after their last process does.
func (g cgroups) remove(ctx context.Context) error {
	var failed error
	err := network.Settle(ctx, func() bool {
		failed = nil
		for _, dir := range g.all {
			failed = errors.Join(failed, removeTree(dir))
		}
		return failed == nil
	})
	if err != nil {
		return fmt.Errorf("remove control group: %w: %w", err, failed)
	}
	return nil
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
