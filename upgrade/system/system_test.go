package system

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
)

// answering is a system in a directory of its own whose programs answer what the test says; the key
// is the beginning of the command line.
func answering(t *testing.T, answers map[string]string) System {
	t.Helper()
	root := t.TempDir()
	return System{Root: root, Run: func(_ context.Context, c host.Command) ([]byte, error) {
		line := strings.Join(append([]string{c.Name}, c.Args...), " ")
		best := ""
		for key := range answers {
			if strings.HasPrefix(line, key) && len(key) > len(best) {
				best = key
			}
		}
		if best == "" {
			t.Errorf("nobody expects %q", line)
		}
		if text, ok := strings.CutPrefix(answers[best], "fails: "); ok {
			return nil, &host.ExitError{Name: c.Name, Code: 100, Stderr: text}
		}
		if c.Stdout != nil {
			_, err := c.Stdout.Write([]byte(answers[best]))
			return nil, err
		}
		return []byte(answers[best]), nil
	}}
}

func write(t *testing.T, s System, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// simulated is what apt 3.0 said on a machine, with a removal and a new package added.
const simulated = `Reading package lists...
The following packages will be upgraded:
  libssl3t64 openssl
Inst libssl3t64 [3.5.7-1~deb13u2] (3.5.7-1~deb13u3 Debian-Security:13/stable-security [amd64])
Conf libssl3t64 (3.5.7-1~deb13u3 Debian-Security:13/stable-security [amd64])
Inst curl [8.14.1-2+deb13u5] (8.14.1-2+deb13u7 Debian:13.2/stable, Debian-Security:13/stable-security [amd64]) []
Inst tzdata [2026a-0] (2026b-0 Debian:13-updates/stable-updates [all])
Inst linux-image-6.12.117 (6.12.117-1 Debian:13.2/stable [amd64])
Remv apache2 [2.4.62-1]
Conf curl (8.14.1-2+deb13u7 Debian:13.2/stable [amd64])
`

func TestPending(t *testing.T) {
	s := answering(t, map[string]string{
		"dpkg --audit":                        "",
		"apt-get --simulate":                  simulated,
		"apt-mark showhold":                   "tzdata\nnano\n",
		"apt-get --simulate --quiet --ignore": simulated,
		"apt-cache show":                      "Package: curl\nVersion: 8.14.1-2+deb13u7\nSize: 269816\nInstalled-Size: 504\nDescription: x\n Size: 1\n\nPackage: libssl3t64\nInstalled-Size: 8115\nVersion: 3.5.7-1~deb13u3\nSize: 2458176\n",
	})
	p, err := s.Pending(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range p.Packages {
		word := one.Name + " " + one.From + ">" + one.To
		if one.Security {
			word += " security"
		}
		got = append(got, word)
	}
	want := []string{"libssl3t64 3.5.7-1~deb13u2>3.5.7-1~deb13u3 security", "curl 8.14.1-2+deb13u5>8.14.1-2+deb13u7 security",
		"tzdata 2026a-0>2026b-0", "linux-image-6.12.117 >6.12.117-1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"apache2"}, p.Remove); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"tzdata"}, p.Held); diff != "" {
		t.Error(diff)
	}
	if download, unpacked := p.Bytes(); download != 269816+2458176 || unpacked != (504+8115)<<10 || p.Security() != 2 {
		t.Errorf("%d bytes to download, %d unpacked, %d of security", download, unpacked, p.Security())
	}
}

func TestSecurityOnlyNamesEveryVersion(t *testing.T) {
	s := answering(t, map[string]string{
		"dpkg --audit": "", "apt-mark showhold": "", "apt-cache show": "",
		"apt-get --simulate --quiet --target-release trixie-security dist-upgrade":            simulated,
		"apt-get --simulate --quiet install libssl3t64=3.5.7-1~deb13u3 curl=8.14.1-2+deb13u7": "Inst libssl3t64 [1] (2 Debian-Security:13/stable-security [amd64])\n",
	})
	write(t, s, "/etc/os-release", "VERSION_CODENAME=trixie\n")
	if p, err := s.Pending(t.Context(), true); err != nil || len(p.Packages) != 1 || len(p.Remove) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// A dpkg that was interrupted makes apt refuse to answer; that is no reason not to repair it.
func TestInterruptedIsAnAnswer(t *testing.T) {
	s := answering(t, map[string]string{
		"dpkg --audit":       "The following packages are only half configured\n openssl\n",
		"apt-get --simulate": "fails: E: dpkg was interrupted, you must manually run 'dpkg --configure -a'\n",
	})
	if p, err := s.Pending(t.Context(), false); err != nil || !strings.Contains(p.Interrupted, "half configured") {
		t.Errorf("%+v, %v", p, err)
	}
	s = answering(t, map[string]string{"dpkg --audit": "", "apt-get --simulate": "fails: E: no\n"})
	if _, err := s.Pending(t.Context(), false); err == nil {
		t.Error("an apt that does not answer is taken for one with nothing to say")
	}
	write(t, s, "/var/lib/dpkg/updates/0001", "")
	if p, err := s.Pending(t.Context(), false); err != nil || p.Interrupted == "" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAFailingPackageIsNamed(t *testing.T) {
	s := System{Root: t.TempDir(), Run: func(_ context.Context, c host.Command) ([]byte, error) {
		for _, want := range []string{"--no-remove", "--option=Dpkg::Options::=--force-confold"} {
			if !slices.Contains(c.Args, want) {
				t.Errorf("no %s in %q", want, c.Args)
			}
		}
		for _, want := range []string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1"} {
			if !slices.Contains(c.Env, want) {
				t.Errorf("no %s in %q", want, c.Env)
			}
		}
		_, err := c.Stdout.Write([]byte("pmstatus:demo:40.0000:Installing demo\nConfiguration file '/etc/demo.conf'\n ==> Keeping old config file as default.\n" +
			"pmerror:demo:60.0000:installed demo package post-installation script subprocess returned error exit status 7\n"))
		return nil, errors.Join(err, &host.ExitError{Name: "apt-get", Code: 100, Stderr: "E: Sub-process /usr/bin/dpkg returned an error code (1)\n"})
	}}
	var at int64
	var kept string
	err := s.Install(t.Context(), false, Listener{Progress: func(p int64) { at = p }, Kept: func(file string) { kept = file }})
	var broken *InstallError
	if !errors.As(err, &broken) || err.Error() != "demo: installed demo package post-installation script subprocess returned error exit status 7" {
		t.Errorf("error is %v", err)
	}
	if at != 40 || kept != "/etc/demo.conf" {
		t.Errorf("progress %d, kept %q", at, kept)
	}
}

// What can be typed shows what apt said: of lists of packages it keeps no log.
func TestHintOfApt(t *testing.T) {
	s := System{Root: t.TempDir(), Run: func(context.Context, host.Command) ([]byte, error) {
		return nil, &host.ExitError{Name: "apt-get", Code: 100, Stderr: "E: The repository 'http://x main Release' is not signed.\n"}
	}}
	for want, err := range map[string]error{"sudo apt-get update": s.Update(t.Context()), "sudo tail -n 60 /var/log/apt/term.log": s.Add(t.Context(), []string{"x"}, Listener{})} {
		var hinted interface{ Hint() string }
		if !errors.As(err, &hinted) || hinted.Hint() != want {
			t.Errorf("%v: not the hint %q", err, want)
		}
	}
}

// Ending a run must not end dpkg.
func TestInstallIsNotInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := System{Root: t.TempDir(), Run: func(ctx context.Context, _ host.Command) ([]byte, error) {
		cancel()
		return nil, ctx.Err()
	}}
	if err := s.Install(ctx, false, Listener{}); err != nil {
		t.Error(err)
	}
}

func TestPolicy(t *testing.T) {
	s := System{Root: t.TempDir()}
	write(t, s, policyPath, "#!/bin/sh\nexit 0\n")
	if err := s.Hold(); !errors.Is(err, ErrForeignPolicy) {
		t.Errorf("somebody else's policy: %v", err)
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.path(policyPath)); err != nil {
		t.Error("somebody else's policy is gone")
	}
	_ = os.Remove(s.path(policyPath))
	for range 2 { // both may be called twice
		if err := s.Hold(); err != nil {
			t.Fatal(err)
		}
	}
	program := func(args ...string) int {
		script, err := os.ReadFile(s.path(policyPath))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", append([]string{"-c", strings.ReplaceAll(string(script), heldPath, s.path(heldPath)), "policy-rc.d"}, args...)...)
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	for _, args := range [][]string{{"postgresql@17-*", "stop"}, {"--quiet", "ssh", "restart"}, {"ssh.service", "restart"}, {"dbus", "reload"}, {"new.service", "start"}} {
		if code := program(args...); code != 101 {
			t.Errorf("%q: %d", args, code)
		}
	}
	wishes, err := s.Held()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range wishes {
		word := w.Unit
		if w.Restart() {
			word += " restart"
		}
		if w.Reload() {
			word += " reload"
		}
		got = append(got, word)
	}
	if diff := cmp.Diff([]string{"postgresql@17-*.service restart", "ssh.service restart", "dbus.service reload", "new.service"}, got); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove(s.path(heldPath)); err != nil { // as a power cut does
		t.Fatal(err)
	}
	if code := program("ssh", "restart"); code != 0 {
		t.Errorf("after a power cut: %d", code)
	}
	for range 2 {
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	}
}

// The texts are needrestart 3.11's, from a machine whose libssl was replaced.
func TestOutdated(t *testing.T) {
	s := answering(t, map[string]string{
		"needrestart -c": "",
	})
	s.Run = func(_ context.Context, c host.Command) ([]byte, error) {
		if slices.Contains(c.Args, "-b") {
			return []byte("NEEDRESTART-VER: 3.11\nNEEDRESTART-KCUR: 6.12.107\nNEEDRESTART-KEXP: 6.12.117\nNEEDRESTART-KSTA: 3\n" +
				"NEEDRESTART-SVC: dbus.service\nNEEDRESTART-SVC: ssh.service\nNEEDRESTART-SVC: systemd-manager\nNEEDRESTART-SVC: user@1000.service\nNEEDRESTART-SESS: ops @ user manager service\n"), nil
		}
		return []byte("\nServices to be restarted:\n /etc/needrestart/restart.d/systemd-manager\n systemctl restart ssh.service\n\n" +
			"Service restarts being deferred:\n /etc/needrestart/restart.d/dbus.service\n systemctl restart user@1000.service\n\nNo containers need to be restarted.\n"), nil
	}
	o, err := s.Outdated(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Outdated{Services: []string{"dbus.service", "ssh.service", "systemd-manager"}, Deferred: []string{"dbus.service"},
		Running: "6.12.107", Expected: "6.12.117", Kernel: true}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ssh.service", "systemd-manager"}, o.Restartable()); diff != "" {
		t.Error(diff)
	}
	write(t, s, "/boot/vmlinuz-6.12.117", "")
	write(t, s, requiredPath, "")
	write(t, s, requiredPath+".pkgs", "linux-image-6.12.117\nlibc6\n")
	old := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	if err := os.Chtimes(s.path("/boot/vmlinuz-6.12.117"), old, old); err != nil {
		t.Fatal(err)
	}
	r, err := s.Reboot(o)
	if err != nil || len(r.Why) != 3 || !r.Since.Equal(old) || !strings.Contains(r.Reason(), "libc6") {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := (System{Root: t.TempDir()}).Reboot(Outdated{Services: []string{"ssh.service"}}); err != nil || r.Needed() {
		t.Errorf("nothing asks for it: %+v, %v", r, err)
	}
}
