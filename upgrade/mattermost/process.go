package mattermost

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"townsquare/upgrade/host"
)

// Proc is where the kernel shows its processes; a test has a directory of its own.
type Proc string

// procDir is the real one.
const procDir Proc = "/proc"

// Process is a running server. Env holds secrets: never print it.
type Process struct {
	PID     int
	Unit    string // the systemd unit, or scope of a login, that it belongs to
	Exe     string // its program, without links
	Args    []string
	Env     map[string]string
	Dir     string // the directory it works in
	Started time.Time
	parent  int
}

func (p Process) String() string {
	if p.Unit == "" {
		return fmt.Sprintf("process %d", p.PID)
	}
	return fmt.Sprintf("process %d of %s", p.PID, p.Unit)
}

func (f Proc) path(pid int, name string) string {
	return filepath.Join(string(f), strconv.Itoa(pid), name)
}

// Servers returns the processes that serve from the program in dir, the install directory without
// links. A program that was replaced while it runs counts; those of containers do not, nor does a
// command such as `mattermost version`.
func (f Proc) Servers(dir string) ([]Process, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink(f.path(pid, "exe"))
		if err != nil {
			continue // a thread of the kernel, or gone
		}
		exe = strings.TrimSuffix(exe, " (deleted)")
		if filepath.Dir(exe) != filepath.Join(dir, "bin") || !isServerProgram(exe) || !sameFile(f.path(pid, "root"), "/") {
			continue
		}
		p, err := f.read(pid, exe)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return nil, fmt.Errorf("look at process %d: %w", pid, err)
		}
		if serves(p.Args) {
			found = append(found, p)
		}
	}
	// A child that is not yet the program that it is to become, such as a plugin, is no other server.
	return slices.DeleteFunc(slices.Clone(found), func(child Process) bool {
		return slices.ContainsFunc(found, func(p Process) bool { return p.PID == child.parent })
	}), nil
}

func (f Proc) read(pid int, exe string) (Process, error) {
	p := Process{PID: pid, Exe: exe, Env: map[string]string{}}
	words := func(name string) ([]string, error) {
		data, err := os.ReadFile(f.path(pid, name))
		if err != nil || len(data) == 0 {
			return nil, err
		}
		return strings.Split(string(bytes.TrimSuffix(data, []byte{0})), "\x00"), nil
	}
	env, err := words("environ")
	if err == nil {
		p.Args, err = words("cmdline")
	}
	if err == nil {
		p.Dir, err = os.Readlink(f.path(pid, "cwd"))
	}
	if err != nil {
		return p, err
	}
	for _, word := range env {
		if k, v, ok := strings.Cut(word, "="); ok {
			p.Env[k] = v
		}
	}
	if p.parent, p.Started, err = f.origin(pid); err != nil {
		return p, err
	}
	p.Unit, err = f.unit(pid)
	return p, err
}

// origin is who started the process and when.
func (f Proc) origin(pid int) (parent int, at time.Time, err error) {
	stat, err := host.ReadStat(string(f), pid)
	if err != nil {
		return 0, at, err
	}
	up, err := os.ReadFile(filepath.Join(string(f), "uptime"))
	if err != nil {
		return 0, at, err
	}
	uptime, _, _ := strings.Cut(string(up), " ")
	seconds, err := strconv.ParseFloat(uptime, 64)
	age := time.Duration((seconds - float64(stat.Ticks)/100) * float64(time.Second))
	return stat.Parent, time.Now().Add(-age), err
}

// unit is the last unit in the path of the process's control group. Of version 1 there is a line for
// each controller, and systemd's own is the one called name=systemd.
func (f Proc) unit(pid int) (string, error) {
	data, err := os.ReadFile(f.path(pid, "cgroup"))
	if err != nil {
		return "", err
	}
	var unit string
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 || parts[1] != "" && parts[1] != "name=systemd" {
			continue
		}
		for name := range strings.SplitSeq(parts[2], "/") {
			if strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".scope") {
				unit = name
			}
		}
	}
	return unit, nil
}

// serves reports whether a server's command line is one of a service: without a subcommand it serves.
func serves(args []string) bool {
	for i := 1; i < len(args); i++ {
		switch {
		case args[i] == "-c" || args[i] == "--config":
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i] == "server" || args[i] == "jobserver"
		}
	}
	return true
}

// sockets are the inodes of the process's sockets.
func (f Proc) sockets(pid int) ([]uint32, error) {
	entries, err := os.ReadDir(f.path(pid, "fd"))
	if err != nil {
		return nil, err
	}
	var inodes []uint32
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(f.path(pid, "fd"), e.Name()))
		if err != nil {
			continue // it was closed
		}
		if number, ok := strings.CutPrefix(target, "socket:["); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32); err == nil {
				inodes = append(inodes, uint32(n))
			}
		}
	}
	return inodes, nil
}

// tcp returns the TCP connections of the process, to where, each from its own port. inodes are its sockets.
func (f Proc) tcp(pid int, inodes []uint32) map[int]netip.AddrPort {
	const established = "01"
	to := map[int]netip.AddrPort{}
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		data, err := os.ReadFile(f.path(pid, name))
		if err != nil {
			continue // without IPv6
		}
		for line := range strings.Lines(string(data)) {
			word := strings.Fields(line)
			if len(word) < 10 || word[3] != established {
				continue
			}
			inode, err := strconv.ParseUint(word[9], 10, 32)
			if err != nil || !slices.Contains(inodes, uint32(inode)) {
				continue
			}
			local, remote := kernelAddress(word[1]), kernelAddress(word[2])
			to[int(local.Port())] = remote
		}
	}
	return to
}

// kernelAddress reads an address of /proc/net/tcp: its words are in the byte order of the machine.
func kernelAddress(s string) netip.AddrPort {
	host, port, _ := strings.Cut(s, ":")
	bytes, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if cmp.Or(err, portErr) != nil || len(bytes)%4 != 0 {
		return netip.AddrPort{}
	}
	for i := 0; i < len(bytes); i += 4 {
		binary.NativeEndian.PutUint32(bytes[i:], binary.BigEndian.Uint32(bytes[i:]))
	}
	ip, _ := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n))
}
