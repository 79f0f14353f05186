// Package system keeps the operating system current by Debian's own tools: apt and dpkg install,
// needrestart says what still runs old files, systemd restarts, nftables lets visitors wait. It
// asks them and reads their answers; nothing that they do is done here a second time.
package system

import (
	"context"
	"path/filepath"

	"townsquare/upgrade/host"
)

// Runner runs one program, as host.Run does.
type Runner func(ctx context.Context, c host.Command) ([]byte, error)

// System is the operating system of this host.
type System struct {
	Root string // "/"; a test has its own
	Run  Runner
}

// Host is the system that we run on.
func Host() System { return System{Root: "/", Run: host.Run} }

func (s System) path(p string) string { return filepath.Join(s.Root, p) }

// ask runs a program in the C locale, so that its answer reads the same everywhere.
func (s System) ask(ctx context.Context, name string, args ...string) (string, error) {
	out, err := s.Run(ctx, host.Command{Name: name, Args: args, Env: []string{"LC_ALL=C.UTF-8"}})
	return string(out), err
}
