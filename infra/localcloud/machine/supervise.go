package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/network"
)

// linkLocalGateway is the gateway on each machine's own link: IPv6 answers for
// an address only on the interface that has it.
var linkLocalGateway = netip.MustParseAddr("fe80::1")

// rebooted is systemd-nspawn's exit status when the machine wants to be
// started again.
const rebooted = 133

// running is what a supervisor says about its machine.
type running struct {
	Supervisor int               `json:"supervisor"` // process ids, as seen from outside
	Nspawn     int               `json:"nspawn"`
	Leader     int               `json:"leader"`  // the machine's process 1
	Volumes    map[string]string `json:"volumes"` // name to loop device
}

// supervisor keeps one machine running: it lives exactly as long as the
// machine is on.
type supervisor struct {
	m       *Machine
	groups  cgroups
	root    string
	volumes map[string]*os.File
}

// Supervise boots a machine and returns when it is off. The caller is a
// process of its own with a private mount namespace, in the cloud's network
// namespace and in a session of its own; everything that Supervise sets up
// ends with that process, however it ends.
func Supervise(cloud *network.Cloud, name string) error {
	// The machine is to die with this thread (Pdeathsig), so it must be the
	// main one's for good.
	runtime.LockOSThread()
	m, err := Open(cloud, name)
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(m.lockPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("machine %s is running already", name)
	}
	r, err := m.load()
	if err != nil {
		return err
	}
	groups, err := findCgroups(m.cgroupName())
	if err != nil {
		return err
	}
	// Two of the same machine on one disk would destroy it.
	if err := groups.kill(context.Background()); err != nil {
		return err
	}
	s := &supervisor{m: m, groups: groups, volumes: map[string]*os.File{}}
	if err := leaveOtherNamespaces(); err != nil {
		return err
	}
	if err := groups.create(r.Spec.MemoryMB); err != nil {
		return err
	}
	if s.root, err = m.mountRoot(r); err != nil {
		return err
	}
	if err := s.plug(); err != nil {
		return err
	}
	// What systemd-nspawn leaves behind when it is killed is ours to bury.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	for {
		again, err := s.boot(hangup)
		os.Remove(m.runPath())
		if err != nil || !again {
			return errors.Join(err, s.leave(), m.forgetNspawn())
		}
	}
}

// leaveOtherNamespaces drops this mount namespace's copies of network
// namespaces: they would keep another cloud's alive after its end.
func leaveOtherNamespaces() error {
	entries, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := unix.Unmount("/run/netns/"+e.Name(), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount namespace %s: %w", e.Name(), err)
		}
	}
	return nil
}

// boot runs the machine once, to power-off or reboot.
func (s *supervisor) boot(hangup <-chan os.Signal) (again bool, err error) {
	if err := s.m.seed(s.root); err != nil {
		return false, err
	}
	if err := s.unplugOld(); err != nil {
		return false, err
	}
	cmd := exec.Command("systemd-nspawn", s.arguments()...)
	cmd.Env = append(os.Environ(),
		// Debian 13 knows only the unified hierarchy, whatever this computer has.
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
		"SYSTEMD_NSPAWN_TMPFS_TMP=0")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.groups.start(cmd.Start); err != nil {
		return false, fmt.Errorf("start systemd-nspawn: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := s.announce(cmd.Process.Pid, ended); err != nil {
		cmd.Process.Kill()
		return false, err
	}
	for {
		select {
		case <-hangup:
			if err := s.replug(cmd.Process.Pid); err != nil {
				fmt.Fprintf(os.Stderr, "attach volumes: %v\n", err)
			}
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == rebooted {
				return true, nil
			}
			if err != nil {
				return false, fmt.Errorf("systemd-nspawn: %w", err)
			}
			return false, nil
		}
	}
}

func (s *supervisor) arguments() []string {
	args := []string{
		"--quiet", "--boot", "--settings=no",
		// This computer's systemd, if it has one, is not asked.
		"--register=no", "--keep-unit",
		"--directory=" + s.root,
		"--machine=" + s.m.nspawnName(),
		"--hostname=" + s.m.Spec.Hostname,
		"--network-veth-extra=" + s.m.hostInterface() + ":eth0",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--console=read-only",
	}
	for name, device := range s.volumes {
		args = append(args, "--bind="+device.Name()+":"+devicePath(name))
	}
	return args
}

// announce connects the machine to the network and says that it runs.
func (s *supervisor) announce(nspawn int, ended <-chan error) error {
	deadline := time.Now().Add(time.Minute)
	connected, leader := false, 0
	for !connected || leader == 0 {
		select {
		case err := <-ended:
			return fmt.Errorf("systemd-nspawn ended at once: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.New("machine has no process 1 after a minute")
		}
		if !connected {
			if _, err := net.InterfaceByName(s.m.hostInterface()); err == nil {
				if err := s.connect(); err != nil {
					return err
				}
				connected = true
			}
		}
		if leader == 0 {
			leader = findLeader(nspawn)
		}
	}
	return s.writeRunning(nspawn, leader)
}

func (s *supervisor) writeRunning(nspawn, leader int) error {
	volumes := map[string]string{}
	for name, device := range s.volumes {
		volumes[name] = device.Name()
	}
	data, err := json.Marshal(running{Supervisor: os.Getpid(), Nspawn: nspawn, Leader: leader, Volumes: volumes})
	if err != nil {
		return err
	}
	temp := s.m.runPath() + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, s.m.runPath())
}

// unplugOld removes a cable of the machine's last life, which a process that
// outlived the machine may hold.
func (s *supervisor) unplugOld() error {
	err := network.Settle(context.Background(), func() bool {
		if _, err := net.InterfaceByName(s.m.hostInterface()); err != nil {
			return true // it is gone
		}
		_ = exec.Command("ip", "link", "delete", s.m.hostInterface()).Run()
		return false
	})
	if err != nil {
		return fmt.Errorf("remove interface %s of the machine's last life: %w", s.m.hostInterface(), err)
	}
	return nil
}

// connect gives the outside end of the machine's cable its routes.
func (s *supervisor) connect() error {
	dev, spec := s.m.hostInterface(), s.m.Spec
	batch := fmt.Sprintf("link set %[1]s up\n"+
		"address replace %[2]s/64 dev %[1]s nodad\n"+
		"route replace %[3]s/32 dev %[1]s src %[4]s\n"+
		"route replace %[5]s/128 dev %[1]s src %[6]s\n",
		dev, linkLocalGateway, spec.Address, network.Gateway, spec.Address6, network.Gateway6)
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("connect machine: ip: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// leave buries the machine's last processes and deletes its control groups.
func (s *supervisor) leave() error {
	err := network.Settle(context.Background(), func() bool {
		_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		return errors.Is(err, unix.ECHILD)
	})
	if err != nil {
		err = fmt.Errorf("wait for the machine's last processes: %w", err)
	}
	return errors.Join(err, s.groups.remove(context.Background()))
}

// nspawnName is unique on this computer, as systemd-nspawn wants it.
func (m *Machine) nspawnName() string { return "tsq-" + m.Cloud.Name + "-" + m.Spec.Name }

func (m *Machine) cgroupName() string {
	return filepath.Join("townsquare-"+m.Cloud.Name, m.Spec.Name)
}
func (m *Machine) lockPath() string { return filepath.Join(m.dir, "run.lock") }
func (m *Machine) runPath() string  { return filepath.Join(m.dir, "run.json") }

// ConsolePath is the log of the machine's console and its supervisor.
func (m *Machine) ConsolePath() string { return filepath.Join(m.dir, "console.log") }

// hostInterface is the outside end of the machine's cable.
func (m *Machine) hostInterface() string { return fmt.Sprintf("m%d", m.Spec.Address.As4()[3]) }

// forgetNspawn removes the directories that systemd-nspawn makes for a machine
// and leaves.
func (m *Machine) forgetNspawn() error {
	var failed error
	for _, dir := range []string{"propagate", "unix-export"} {
		failed = errors.Join(failed, os.RemoveAll(filepath.Join("/run/systemd/nspawn", dir, m.nspawnName())))
	}
	return failed
}
