package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"townsquare/upgrade/host"
)

const (
	sshd        = "/usr/sbin/sshd"
	sshTimeout  = 10 * time.Second
	sshFallback = "townsquare-sshd.service"
)

// errDoor is how a handshake ends that went as far as it had to.
var errDoor = errors.New("the host key is known: that is all we wanted")

// RestartSSH exchanges the sshd that listens. The new one must first prove itself on another port,
// with the configuration as it is; then the old one lets go, and a new connection must reach its
// heir. Where systemd cannot start that, it is started without. Sessions that are open stay open.
func (s System) RestartSSH(ctx context.Context, unit string) error {
	keys, err := s.hostKeys()
	if err != nil {
		return err
	}
	addresses, err := s.sshAddresses(ctx)
	if err != nil {
		return err
	}
	if err := s.trial(ctx, keys); err != nil {
		return fmt.Errorf("the new sshd does not work, so the old one stays: %w", err)
	}
	err = s.Restart(ctx, unit)
	if err == nil {
		if err = answers(ctx, addresses, keys); err == nil {
			return nil
		}
	}
	// The one that proved itself takes the port, by whatever name.
	_ = s.Stop(ctx, unit)
	_, again := s.Run(ctx, host.Command{Name: "systemd-run", Args: []string{"--unit=" + sshFallback, "--collect", "--quiet",
		"--property=KillMode=process", "--property=Restart=always", sshd, "-D"}})
	if again == nil {
		again = answers(ctx, addresses, keys)
	}
	if again != nil {
		return fmt.Errorf("no new SSH connection gets in; keep the sessions that are open: %w", errors.Join(err, again))
	}
	return fmt.Errorf("%s did not come back, and %s serves in its place until it is repaired: %w", unit, sshFallback, err)
}

// trial runs the sshd that is installed now on a port of its own.
func (s System) trial(ctx context.Context, keys []string) error {
	if _, err := s.ask(ctx, sshd, "-t"); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(address)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, sshd, "-D", "-o", "ListenAddress=127.0.0.1:"+port, "-o", "PidFile=none")
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	return answers(ctx, []string{address}, keys)
}

// sshAddresses are where the host's sshd listens, as this host reaches it.
func (s System) sshAddresses(ctx context.Context) ([]string, error) {
	out, err := s.ask(ctx, sshd, "-T")
	if err != nil {
		return nil, fmt.Errorf("ask sshd for its configuration: %w", err)
	}
	var all []string
	for line := range strings.Lines(out) {
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), "listenaddress "); ok {
			name, port, err := net.SplitHostPort(address)
			if err != nil {
				continue
			}
			if ip := net.ParseIP(name); ip != nil && ip.IsUnspecified() {
				if ip.To4() == nil { // this host may have no IPv6 for itself
					continue
				}
				name = "127.0.0.1"
			}
			all = append(all, net.JoinHostPort(name, port))
		}
	}
	if len(all) == 0 {
		return nil, errors.New("sshd says of no address that it listens there")
	}
	return all, nil
}

// hostKeys are the public keys by which visitors know this host.
func (s System) hostKeys() ([]string, error) {
	files, err := filepath.Glob(s.path("/etc/ssh/ssh_host_*_key.pub"))
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if key, _, _, _, err := ssh.ParseAuthorizedKey(data); err == nil {
			keys = append(keys, string(key.Marshal()))
		}
	}
	return keys, nil
}

// answers wants each address to come as far as its host key, which must be one of ours.
func answers(ctx context.Context, addresses, keys []string) error {
	for _, address := range addresses {
		var err error
		for deadline := time.Now().Add(sshTimeout); time.Now().Before(deadline); {
			if err = knock(ctx, address, keys); err == nil || ctx.Err() != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("sshd at %s: %w", address, err)
		}
	}
	return nil
}

func knock(ctx context.Context, address string, keys []string) error {
	conn, err := (&net.Dialer{Timeout: sshTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(sshTimeout))
	known := false
	_, _, _, err = ssh.NewClientConn(conn, address, &ssh.ClientConfig{User: "nobody", Timeout: sshTimeout,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if !slices.Contains(keys, string(key.Marshal())) {
				return errors.New("it shows a host key that is not this host's")
			}
			known = true
			return errDoor
		}})
	if known {
		return nil
	}
	return err
}
