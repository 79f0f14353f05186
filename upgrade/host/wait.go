package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// retryEvery is the pause between two looks at a host that still boots.
const retryEvery = 2 * time.Second

// Facts is what one look at a host tells before anything of ours runs on it.
type Facts struct {
	OS, Arch string // as Go names them: "linux", "amd64"
	SHA256   string // of the upgrader that is there; empty when none is
	Boot     Boot
	Ready    bool // the first boot of a host that Townsquare made went to its end
	Root     bool // commands run as root, by sudo where needed

	Sudo   string // sudo's complaint where it does not run commands as root; empty: none
	Partly bool   // it runs some commands without a password
	Doas   bool   // doas is there, and no sudo
}

// Boot is how far cloud-init got.
type Boot string

// The states that matter here; an absent cloud-init is BootDone.
const (
	BootDone    Boot = "done"
	BootRunning Boot = "running"
	BootFailed  Boot = "error"
)

// probe prints one fact a line. The sudo question is asked of sudo itself, without a password.
// cloud-init, which takes half a second to start, is asked only where its own note that it is done
// with this boot, or ours that the first one went well, is missing.
const probe = `uname -sm
sha256sum ` + Upgrader + ` 2>/dev/null | cut -c1-64 | sed 's/^/sha256 /'
if { [ ! -e /run/cloud-init/result.json ] || [ ! -e /etc/townsquare/ready ]; } && command -v cloud-init >/dev/null 2>&1; then cloud-init status 2>/dev/null | head -n1; fi
if [ -e /etc/townsquare/ready ]; then echo ready; fi
if [ "$(id -u)" = 0 ]; then echo root
elif command -v sudo >/dev/null 2>&1; then
  if said=$(LC_ALL=C sudo -n -- sh -c : 2>&1); then echo root
  else
    said=$(echo "$said" | tail -n 1)
    echo "sudo ${said:-failed}"
    if sudo -n -l >/dev/null 2>&1; then echo partly; fi
  fi
elif command -v doas >/dev/null 2>&1; then echo doas
fi
exit 0`

// Probe looks at the host.
func (c *Conn) Probe(ctx context.Context) (Facts, error) {
	out := Bounded{Most: MaxStderr}
	if err := c.Run(ctx, probe, nil, &out); err != nil {
		return Facts{}, err
	}
	return parseProbe(out.String())
}

func parseProbe(out string) (Facts, error) {
	f := Facts{Boot: BootDone}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case i == 0:
			f.OS = strings.ToLower(key)
			f.Arch = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[value]
			if f.OS != "linux" || f.Arch == "" {
				return f, fmt.Errorf("the server is %q; Mattermost runs on Linux, x86_64 or aarch64", strings.TrimSpace(line))
			}
		case key == "sha256":
			f.SHA256 = value
		case key == "status:":
			switch value {
			case "running", "not started", "not run":
				f.Boot = BootRunning
			case "error":
				f.Boot = BootFailed
			}
		case key == "ready":
			f.Ready = true
		case key == "root":
			f.Root = true
		case key == "sudo":
			f.Sudo = value
		case key == "partly":
			f.Partly = true
		case key == "doas":
			f.Doas = true
		}
	}
	return f, nil
}

// Waiter reaches a host that may still boot.
type Waiter struct {
	Dial    func(ctx context.Context) (*Conn, error)
	Made    bool          // Townsquare made the host: it is ready only when its first boot said so
	Limit   time.Duration // how long to wait at most
	Waiting func(what string)
}

// Reach connects and waits until the host has booted. Waiting is told, once for each, what is
// being waited for. A wrong host key or a refused login ends the waiting at once.
func (w Waiter) Reach(ctx context.Context) (*Conn, Facts, error) {
	deadline := time.Now().Add(w.Limit)
	said, silent := "", false
	say := func(what string) {
		if what != said {
			said = what
			w.Waiting(what)
		}
	}
	for {
		conn, facts, err := w.look(ctx)
		switch {
		case err == nil:
			return conn, facts, nil
		case ctx.Err() != nil:
			return nil, Facts{}, context.Cause(ctx)
		case !worthWaiting(err) || time.Now().Add(retryEvery).After(deadline):
			return nil, Facts{}, err
		}
		var booting *BootingError
		if errors.As(err, &booting) {
			say(booting.Error())
		} else if !silent {
			silent = true
			say("the server does not answer yet: " + err.Error())
		}
		select {
		case <-ctx.Done():
			return nil, Facts{}, context.Cause(ctx)
		case <-time.After(retryEvery):
		}
	}
}

func (w Waiter) look(ctx context.Context) (*Conn, Facts, error) {
	conn, err := w.Dial(ctx)
	if err != nil {
		return nil, Facts{}, err
	}
	facts, err := conn.Probe(ctx)
	if err == nil {
		err = w.judge(facts)
	}
	var sudo *SudoError
	if errors.As(err, &sudo) {
		sudo.User = conn.client.User()
	}
	if err != nil {
		conn.Close()
		return nil, Facts{}, err
	}
	return conn, facts, nil
}

func (w Waiter) judge(f Facts) error {
	switch {
	case f.Boot == BootRunning:
		return &BootingError{First: w.Made && !f.Ready}
	case w.Made && !f.Ready:
		return &FirstBootError{Failed: f.Boot == BootFailed}
	case !f.Root:
		return &SudoError{Said: f.Sudo, Partly: f.Partly, Doas: f.Doas}
	}
	return nil
}

// BootingError says that the host is still booting.
type BootingError struct{ First bool }

func (e *BootingError) Error() string {
	if e.First {
		return "the server is doing its first boot, which takes about 3 minutes"
	}
	return "the server is still booting"
}

// Hint says what to type.
func (*BootingError) Hint() string { return "wait longer with --wait 30m, or try again later" }

// FirstBootError says that the first boot ended and the host is not what it should be.
type FirstBootError struct{ Failed bool }

func (e *FirstBootError) Error() string {
	if e.Failed {
		return "the host's first boot failed"
	}
	return "the host's first boot ended early: /etc/townsquare/ready is not there"
}

// Hint says where to look.
func (*FirstBootError) Hint() string {
	return "log in and look at it: sudo cloud-init status --long; sudo tail -n 50 /var/log/cloud-init-output.log"
}

// SudoError is returned when the user's commands cannot run as root.
type SudoError struct {
	User   string
	Said   string // by sudo; empty: there is none
	Partly bool   // it runs some commands
	Doas   bool   // doas is there instead
}

func (e *SudoError) Error() string {
	switch {
	case e.Doas:
		return "commands must run as root, and the server has doas and no sudo; upgrade uses sudo only"
	case e.Said == "":
		return "commands must run as root, and the server has no sudo"
	case e.tty():
		return "sudo on the server runs commands on a terminal only (requiretty): " + e.Said
	case e.Partly:
		return "sudo on the server runs only some commands of the user without a password: " + e.Said
	}
	return "the user cannot become root without a password: " + e.Said
}

func (e *SudoError) tty() bool { return strings.Contains(e.Said, "must have a tty") }

// Hint says what to type.
func (e *SudoError) Hint() string {
	rule, into := e.User+" ALL=(ALL) NOPASSWD: ALL", " >/etc/sudoers.d/90-upgrade"
	if e.tty() {
		rule, into = "Defaults:"+e.User+" !requiretty", " >>/etc/sudoers.d/90-upgrade"
	}
	allow := "echo " + Quote(rule) + into
	if e.Said == "" {
		allow = "apt install sudo && " + allow
	}
	return "on the server, as root: " + allow
}

// worthWaiting reports whether a host that boots may give another answer in a while.
func worthWaiting(err error) bool {
	var (
		booting *BootingError
		connect *ConnectError
	)
	return errors.As(err, &booting) || errors.As(err, &connect) || errors.Is(err, ErrCut)
}
