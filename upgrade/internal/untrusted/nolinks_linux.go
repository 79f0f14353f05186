package untrusted

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// withoutLinks calls do on a thread with a mount table of its own, where links below dirs are not followed.
func withoutLinks(dirs []string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread never ends; while it waits, another one is taken
			defer runtime.UnlockOSThread()
			done <- withoutLinks(dirs, do)
			return
		}
		// The thread is not unlocked: it ends with this goroutine, and its mount table with it.
		if err := ignoreLinks(dirs); err != nil {
			done <- fmt.Errorf("keep links of other users out: %w", err)
			return
		}
		done <- do()
	}()
	return <-done
}

// ignoreLinks mounts each of dirs over itself with nosymfollow, with what is mounted below it. Linux before
// 5.10 ignores that flag.
func ignoreLinks(dirs []string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	mount := func(from, to string, flags uintptr) error {
		if err := unix.Mount(from, to, "", flags, ""); err != nil {
			return &os.PathError{Op: "mount", Path: to, Err: err}
		}
		return nil
	}
	if err := mount("", "/", unix.MS_SLAVE|unix.MS_REC); err != nil {
		return err
	}
	before, err := mounts()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := mount(dir, dir, unix.MS_BIND|unix.MS_REC); err != nil {
			return err
		}
	}
	found, err := mounts()
	if err != nil {
		return err
	}
	for id, m := range found {
		if _, old := before[id]; old {
			continue
		}
		if err := mount("", m.point, unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSYMFOLLOW); err != nil {
			return err
		}
	}
	if found, err = mounts(); err != nil {
		return err
	}
	for id, m := range found {
		if _, old := before[id]; !old && !slices.Contains(strings.Split(m.options, ","), "nosymfollow") {
			return fmt.Errorf("%s is mounted with %s, without nosymfollow", m.point, m.options)
		}
	}
	return nil
}

type mounted struct{ point, options string }

// mounts is the mount table of this thread, by ID (proc_pid_mountinfo(5)).
func mounts() (map[string]mounted, error) {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	all := map[string]mounted{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 5 {
			all[f[0]] = mounted{plain.Replace(f[4]), f[5]}
		}
	}
	return all, nil
}
