//go:build machine

// These tests boot real machines: they need root, and `localcloud build base
// pebble` makes them quick.
package machine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/stage"
)

// program is the real localcloud, built once for all tests.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "localcloud-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "localcloud")
	build := exec.Command("go", "build", "-o", program, "townsquare/infra/localcloud")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		os.RemoveAll(dir)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// newCloud brings a cloud up with the real program and checks, at the end of
// the test, that taking it down leaves nothing of it on this computer.
func newCloud(t *testing.T, name string) *network.Cloud {
	t.Helper()
	cloud, err := network.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	run(t, program, "down", "--cloud", name) // what an earlier run left
	run(t, program, "up", "--cloud", name)
	t.Cleanup(func() {
		run(t, program, "down", "--cloud", name)
		for _, left := range leftovers(t, cloud) {
			t.Errorf("left after down: %s", left)
		}
	})
	return cloud
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// leftovers looks for everything that a cloud could leave behind.
func leftovers(t *testing.T, cloud *network.Cloud) []string {
	t.Helper()
	var left []string
	for _, path := range []string{
		cloud.Dir, cloud.NamespacePath(), "/etc/netns/" + cloud.Namespace(),
		"/sys/fs/cgroup/*/townsquare-" + cloud.Name, "/sys/fs/cgroup/townsquare-" + cloud.Name,
		"/run/systemd/nspawn/*/tsq-" + cloud.Name + "-*",
	} {
		found, err := filepath.Glob(path)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	for _, source := range []struct {
		glob, what string
	}{
		{"/sys/block/loop*/loop/backing_file", cloud.Dir + "/"},
		{"/proc/[0-9]*/mountinfo", cloud.Dir + "/"},
		{"/proc/[0-9]*/cmdline", "--cloud\x00" + cloud.Name + "\x00"},
		{"/proc/[0-9]*/cmdline", "tsq-" + cloud.Name},
	} {
		files, err := filepath.Glob(source.glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), source.what) {
				left = append(left, file+": "+strings.ReplaceAll(string(data), "\x00", " "))
			}
		}
	}
	return left
}

// boot makes a machine and waits until its cloud-init is done.
func boot(t *testing.T, cloud *network.Cloud, spec machine.Spec) *machine.Machine {
	t.Helper()
	ctx := t.Context()
	m, err := machine.Create(ctx, cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Start(ctx), m.WaitReady(ctx)); err != nil {
		t.Fatal(err)
	}
	return m
}

// sh runs a script in a machine and returns its output without the last line
// end.
func sh(t *testing.T, m *machine.Machine, script string) string {
	t.Helper()
	out, err := m.Exec(t.Context(), "bash", "-euc", script)
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", m.Spec.Name, script, err, out)
	}
	return strings.TrimSpace(out)
}

// until waits for what comes by itself, however slow the computer is.
func until(t *testing.T, still string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(stage.Patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(still)
		}
	}
}

// silence is how long nobody must have answered to be out of reach, and answer how long somebody may
// take who is not.
const (
	silence = 2 * time.Second
	answer  = time.Minute
)

// reaches says whether a machine gets a TCP connection within that time.
func reaches(m *machine.Machine, host fmt.Stringer, port int, within time.Duration) bool {
	_, err := m.Exec(context.Background(), "timeout", fmt.Sprint(within.Seconds()), "bash", "-c", fmt.Sprintf("</dev/tcp/%s/%d", host, port))
	return err == nil
}

// gatewayReaches is reaches from the gateway, with a source address.
func gatewayReaches(cloud *network.Cloud, from, to netip.Addr, port int, within time.Duration) bool {
	err := cloud.Do(func() error {
		dialer := net.Dialer{Timeout: within, LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
		conn, err := dialer.Dial("tcp", net.JoinHostPort(to.String(), fmt.Sprint(port)))
		if err == nil {
			conn.Close()
		}
		return err
	})
	return err == nil
}

const userData = `#cloud-config
users:
  - name: ops
    sudo: ALL=(ALL) NOPASSWD:ALL
    shell: /bin/bash
write_files:
  - path: /etc/greeting
    content: "hello\n"
runcmd:
  - [sh, -c, "date +%s%N >> /var/log/first-boots"]
`

const packages = "packages: [nftables, jq]\n"

func TestTwoMachinesSideBySide(t *testing.T) {
	cloud := newCloud(t, "mtwo")
	ctx := t.Context()
	machines := make([]*machine.Machine, 2)
	var both sync.WaitGroup
	for n, name := range []string{"one", "two"} {
		both.Go(func() { machines[n] = boot(t, cloud, machine.Spec{Name: name, UserData: userData + packages}) })
	}
	both.Wait()
	one, two := machines[0], machines[1]
	if one == nil || two == nil {
		t.FailNow()
	}

	t.Run("booted", func(t *testing.T) {
		for _, m := range machines {
			if got := sh(t, m, "systemctl is-system-running; cat /etc/greeting; hostname; id -un ops; jq --version >/dev/null && nft --version >/dev/null && echo installed"); got != "running\nhello\n"+m.Spec.Name+"\nops\ninstalled" {
				t.Errorf("%s: %s\n%s", m.Spec.Name, got, sh(t, m, "systemctl --failed"))
			}
		}
		if _, err := machine.Create(ctx, cloud, machine.Spec{Name: "one"}); err == nil {
			t.Error("a second machine of the same name was made")
		}
		if err := one.Start(ctx); err != nil {
			t.Errorf("start of a running machine: %v", err)
		}
	})

	t.Run("memory is limited", func(t *testing.T) {
		limits := ""
		for _, file := range []string{
			"/sys/fs/cgroup/memory/townsquare-mtwo/one/memory.limit_in_bytes", // v1
			"/sys/fs/cgroup/townsquare-mtwo/one/memory.max",                   // v2
		} {
			data, _ := os.ReadFile(file)
			limits += strings.TrimSpace(string(data))
		}
		if limits != "8589934592" {
			t.Errorf("limit: %q bytes", limits)
		}
	})

	t.Run("metadata", func(t *testing.T) {
		if got := sh(t, two, "curl -sf http://169.254.169.254/metadata/v1/user-data"); got != strings.TrimSpace(userData+packages) {
			t.Errorf("user data of two: %q", got)
		}
	})

	t.Run("nothing but Debian is outside", func(t *testing.T) {
		sh(t, one, "apt-get update -q")
		if out, err := one.Exec(ctx, "curl", "-sS", "-m", "60", "-x", "http://10.91.0.1:3142", "-o", "/dev/null", "-w", "%{http_code}", "http://releases.townsquare.test/"); err != nil || out != "403" {
			t.Errorf("the proxy let a machine elsewhere: %s %v", out, err)
		}
		if _, err := one.Exec(ctx, "curl", "-sS", "-m", "3", "http://192.0.2.1/"); err == nil {
			t.Error("a machine reached a foreign address")
		}
	})

	t.Run("firewall", func(t *testing.T) { testFirewall(t, cloud, one, two) })
	t.Run("reserved address", func(t *testing.T) { testReserved(t, cloud, one, two) })
	t.Run("names", func(t *testing.T) { testNames(t, cloud, one) })
	t.Run("certificates", func(t *testing.T) { testCertificates(t, cloud, one, two) })
}
