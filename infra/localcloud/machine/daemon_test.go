//go:build machine

package machine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"townsquare/infra/localcloud/machine"
)

func TestMachinesOutliveTheDaemon(t *testing.T) {
	cloud := newCloud(t, "mdaemon")
	ctx := t.Context()
	m := boot(t, cloud, machine.Spec{Name: "one", UserData: userData})
	pid := cloud.DaemonProcess()
	if pid == 0 {
		t.Fatal("the cloud is up, but has no daemon")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "a killed daemon holds its lock", func() bool { return !cloud.Up() })
	if got := sh(t, m, "cat /etc/greeting"); got != "hello" {
		t.Errorf("without a daemon: %q", got)
	}
	if err := m.Start(ctx); err == nil || !strings.Contains(err.Error(), "localcloud up --cloud mdaemon") {
		t.Errorf("start without a daemon: %v", err)
	}
	root, err := os.ReadFile(filepath.Join(cloud.Dir, "ca", "acme.pem"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, program, "up", "--cloud", cloud.Name)
	run(t, program, "up", "--cloud", cloud.Name)
	renewed, err := os.ReadFile(filepath.Join(cloud.Dir, "ca", "acme.pem"))
	if err != nil || string(renewed) == string(root) {
		t.Errorf("a new ACME server has the old root: %v", err)
	}
	if got := sh(t, m, "cat /usr/local/share/ca-certificates/townsquare-acme.crt; curl -sSf -o /dev/null https://acme.townsquare.test:14000/dir"); got != strings.TrimSpace(string(renewed)) {
		t.Errorf("the machine trusts another root")
	}
	if err := errors.Join(m.Reboot(ctx), m.WaitReady(ctx)); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, m, "cat /etc/greeting; wc -l < /var/log/first-boots"); got != "hello\n1" {
		t.Errorf("after a reboot: %q", got)
	}
	exec := []string{"exec", "--cloud", cloud.Name, "--", "sh", "-c", "cat /etc/resolv.conf; echo $SSL_CERT_FILE"}
	if got, want := run(t, program, exec...), fmt.Sprintf("nameserver 10.91.0.1\n%s\n", cloud.Bundle()); got != want {
		t.Errorf("exec: %q, want %q", got, want)
	}
}

// TestDownAfterACrash takes away everything at once that keeps order.
func TestDownAfterACrash(t *testing.T) {
	cloud := newCloud(t, "mcrash") // takes it down and looks for leftovers
	m := boot(t, cloud, machine.Spec{Name: "one"})
	if err := os.Mkdir(filepath.Join(cloud.Dir, "machines", "half-made"), 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(data), "--cloud\x00mcrash\x00") {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/cmdline", &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	until(t, "the machine runs without its supervisor", func() bool { return !m.Running() })
}
