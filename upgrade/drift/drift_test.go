package drift

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

const (
	ours   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9wc09wc09wc09wc09wc09wc09wc09wc09wc09wc09w ops@office"
	theirs = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1hbGxvcnlNYWxsb3J5TWFsbG9yeU1hbGxvcnlNYWxs mallory"
	rules  = "table inet townsquare {\n\tchain input {\n\t\ttcp dport { 22, 80, 443 } accept\n\t}\n}\n"
)

// want is a small host; every file on it is the test's own.
func want(owner string) *state.Desired {
	return &state.Desired{
		Files: []state.File{
			{Path: caddyFile, Owner: owner, Mode: "0644", Content: "example.org {\n}\n"},
			{Path: firewallFile, Owner: owner, Mode: "0755", Content: rules},
			{Path: sshFile, Owner: owner, Mode: "0600", Content: "# ours\nPermitRootLogin no\nLoginGraceTime 30\n"},
			{Path: "/etc/systemd/system/mattermost.service", Owner: owner, Mode: "0644", Content: "[Unit]\n"},
		},
		Directories: []state.Directory{{Path: "/opt/townsquare", Owner: owner, Mode: "0755"}},
		Suite:       "trixie-backports",
		Packages:    []string{"caddy", "restic"},
		Unwanted:    []string{"unattended-upgrades"},
		Enabled:     []string{"caddy.service", "mattermost.service", "swapfile.swap"},
		Disabled:    []string{"apt-daily.timer"},
		Masked:      []string{"apt-daily.service"},
		User:        "ops", Keys: []string{ours},
	}
}

// unit is what systemctl show prints of one.
func unit(load, file, active, more string) string {
	return fmt.Sprintf("LoadState=%s\nUnitFileState=%s\nActiveState=%s\n%s\n", load, file, active, more)
}

// made is a host that is as it should be; programs answer by the beginning of their command line.
func made(t *testing.T) (Host, *state.Desired, map[string]string) {
	t.Helper()
	const owner = "us"
	d := want(owner)
	answers := map[string]string{
		"dpkg-query":          "caddy installed\nrestic installed\n",
		"apt-get indextarget": "trixie\ntrixie-backports\n",
		"systemctl show": strings.Join([]string{
			unit("loaded", "enabled", "active", "FragmentPath=/usr/lib/systemd/system/caddy.service"),
			unit("loaded", "enabled", "inactive", ""), // nothing is installed yet
			unit("loaded", "enabled", "inactive", "ConditionResult=no\nConditionTimestampMonotonic=4711"),
			unit("loaded", "disabled", "inactive", ""), unit("masked", "masked", "inactive", "FragmentPath=/etc/systemd/system/apt-daily.service")}, "\n"),
		"unshare --net":               rules,
		"nft list ruleset":            rules + "table inet townsquare_gate {\n}\n",
		"/usr/sbin/sshd -T -C":        "permitrootlogin no\nlogingracetime 30\n",
		"systemd-detect-virt --quiet": "",
	}
	h := Host{system.System{Root: t.TempDir(), Run: func(ctx context.Context, c host.Command) ([]byte, error) {
		line := strings.Join(append([]string{c.Name}, c.Args...), " ")
		if c.Name == "diff" {
			return host.Run(ctx, c)
		}
		for key, text := range answers {
			if strings.HasPrefix(line, key) {
				return []byte(text), nil
			}
		}
		t.Errorf("nobody expects %q", line)
		return nil, errors.New("unexpected")
	}}}
	put := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(h.path(path)), 0o755), os.WriteFile(h.path(path), []byte(text), mode), os.Chmod(h.path(path), mode)); err != nil {
			t.Fatal(err)
		}
	}
	put("/etc/passwd", fmt.Sprintf("root:x:0:0::/root:/bin/bash\n%s:x:%d:%d::/:/usr/sbin/nologin\nmattermost:x:990:990::/:/usr/sbin/nologin\nops:x:1000:1000::/home/ops:/bin/bash\n", owner, os.Getuid(), os.Getgid()), 0o644)
	for _, f := range d.Files {
		put(f.Path, f.Content, f.ModeBits())
	}
	put("/home/ops/.ssh/authorized_keys", ours+"\n", 0o600)
	if err := os.MkdirAll(h.path("/opt/townsquare"), 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // root twice: whoever has number 0 is the first
		d.Files[0].Owner = "root"
	}
	return h, d, answers
}

func lines(list []Difference) (all []string) {
	for _, d := range list {
		word := d.String()
		if d.Left != "" {
			word += " | left"
		}
		all = append(all, word)
	}
	return all
}

func compare(t *testing.T, h Host, d *state.Desired, o Options) *Comparison {
	t.Helper()
	c, err := h.Compare(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rootTwice is what the account of a test that root runs adds.
func rootTwice(all []string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return strings.HasPrefix(s, "the account us was added") })
}

func TestNothingDiffers(t *testing.T) {
	h, d, _ := made(t)
	if got := rootTwice(lines(compare(t, h, d, Options{}).Differences)); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestEachDifferenceIsNamed(t *testing.T) {
	write := func(path, text string) func(Host, map[string]string) error {
		return func(h Host, _ map[string]string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(h.path(path)), 0o755), os.WriteFile(h.path(path), []byte(text), 0o600))
		}
	}
	answer := func(program, was, is string) func(Host, map[string]string) error {
		return func(_ Host, answers map[string]string) error {
			if !strings.Contains(answers[program], was) {
				return fmt.Errorf("%s does not say %q", program, was)
			}
			answers[program] = strings.Replace(answers[program], was, is, 1)
			return nil
		}
	}
	for want, change := range map[string]func(Host, map[string]string) error{
		"/etc/caddy/Caddyfile differs in 1 line": write(caddyFile, "example.org {\n\trespond ok\n}\n"),
		"/etc/caddy/Caddyfile has the mode 0666, not 0644": func(h Host, _ map[string]string) error {
			return os.Chmod(h.path(caddyFile), 0o666)
		},
		"/etc/caddy/Caddyfile is missing": func(h Host, _ map[string]string) error { return os.Remove(h.path(caddyFile)) },
		"/etc/caddy/Caddyfile is a link to /tmp/x": func(h Host, _ map[string]string) error {
			return errors.Join(os.Remove(h.path(caddyFile)), os.Symlink("/tmp/x", h.path(caddyFile)))
		},
		"/etc/caddy/Caddyfile is no file | left": func(h Host, _ map[string]string) error {
			return errors.Join(os.Remove(h.path(caddyFile)), os.Mkdir(h.path(caddyFile), 0o755))
		},
		"/opt/townsquare is missing":                              func(h Host, _ map[string]string) error { return os.Remove(h.path("/opt/townsquare")) },
		"the package restic is not installed":                     answer("dpkg-query", "restic installed", "restic config-files"),
		"the package unattended-upgrades is installed, and would": answer("dpkg-query", "restic", "unattended-upgrades installed\nrestic"),
		"the archive trixie-backports is not among apt's sources": answer("apt-get indextarget", "trixie-backports\n", ""),
		"caddy.service would not start with the host":             answer("systemctl show", "UnitFileState=enabled", "UnitFileState=disabled"),
		"caddy.service does not run":                              answer("systemctl show", "ActiveState=active", "ActiveState=inactive"),
		"caddy.service has failed":                                answer("systemctl show", "ActiveState=active", "ActiveState=failed"),
		"caddy.service is masked":                                 answer("systemctl show", "LoadState=loaded", "LoadState=masked"),
		"swapfile.swap does not run":                              answer("systemctl show", "Monotonic=4711", "Monotonic=0"),
		"apt-daily.timer is switched on":                          answer("systemctl show", "UnitFileState=disabled", "UnitFileState=enabled"),
		"apt-daily.service can be started":                        answer("systemctl show", "LoadState=masked", "LoadState=loaded"),
		"/etc/systemd/system/caddy.service.d/o.conf was added, and changes how caddy.service runs | left": answer("systemctl show", "FragmentPath=/usr", "DropInPaths=/etc/systemd/system/caddy.service.d/o.conf\nFragmentPath=/usr"),
		"the firewall has other rules, in 1 line of table inet townsquare":                                answer("nft list ruleset", "\t}\n", "\t\ttcp dport 9999 accept\n\t}\n"),
		"the firewall is off: table inet townsquare is missing":                                           answer("nft list ruleset", rules, ""),
		"the firewall has one more table: table ip own | left":                                            answer("nft list ruleset", "table inet townsquare_gate", "table ip own {\n}\ntable inet townsquare_gate"),
		"/etc/nftables.d/own.nft was added to the firewall | left":                                        write("/etc/nftables.d/own.nft", ""),
		"sshd's setting PermitRootLogin is yes, not no | left":                                            answer("/usr/sbin/sshd -T -C", "permitrootlogin no", "permitrootlogin yes"),
		"(mallory) was added to /home/ops/.ssh/authorized_keys2":                                          write("/home/ops/.ssh/authorized_keys2", theirs+"\n"),
		"(ops@office) is missing in /home/ops/.ssh/authorized_keys":                                       write("/home/ops/.ssh/authorized_keys", "# nobody\n"),
		"the account toor was added, and is root | left": func(h Host, _ map[string]string) error {
			file, err := os.OpenFile(h.path("/etc/passwd"), os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = file.WriteString("toor:x:0:0::/:/usr/sbin/nologin\n")
			}
			return errors.Join(err, file.Close())
		},
	} {
		t.Run(want, func(t *testing.T) {
			h, d, answers := made(t)
			if err := change(h, answers); err != nil {
				t.Fatal(err)
			}
			got := rootTwice(lines(compare(t, h, d, Options{}).Differences))
			if len(got) != 1 || !strings.Contains(got[0], want) {
				t.Errorf("%q", got)
			}
		})
	}
}

// Whoever comes with a key that the stack does not know must not lock themselves out.
func TestKeysGoOnlyWhenAsked(t *testing.T) {
	h, d, _ := made(t)
	path := h.path("/home/ops/.ssh/authorized_keys")
	if err := os.WriteFile(path, []byte("# by hand\n"+theirs+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{}, "# by hand\n" + theirs + "\n" + ours + "\n"},
		{Options{RemoveKeys: true}, "# by hand\n" + ours + "\n"},
		{Options{RemoveKeys: true, KeepKey: fingerprint(t, theirs)}, "# by hand\n" + theirs + "\n" + ours + "\n"},
	} {
		c := compare(t, h, d, test.options)
		if len(c.files) != 1 {
			t.Fatalf("%+v: %q", test.options, c.Files())
		}
		if diff := cmp.Diff(test.want, c.files[0].Content); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.options, diff)
		}
	}
}

func fingerprint(t *testing.T, line string) string {
	t.Helper()
	cmd := exec.Command("ssh-keygen", "-lf", "-")
	cmd.Stdin = strings.NewReader(line)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))[1]
}

// What was there comes back to the letter, links and absences included, however often.
func TestRestore(t *testing.T) {
	h, d, _ := made(t)
	ssh, unit := h.path(sshFile), h.path("/etc/systemd/system/mattermost.service")
	if err := errors.Join(os.WriteFile(h.path(caddyFile), []byte("by hand\n"), 0o600), os.Chmod(h.path(caddyFile), 0o640),
		os.Remove(ssh), os.Remove(unit), os.Symlink("/dev/null", unit)); err != nil {
		t.Fatal(err)
	}
	was := compare(t, h, d, Options{})
	kept, err := h.Keep("/kept", was.Files()...)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := was.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := rootTwice(lines(compare(t, h, d, Options{}).Differences)); len(left) > 0 {
			t.Errorf("written, it differs: %q", left)
		}
		h.Run = func(context.Context, host.Command) ([]byte, error) { return nil, nil } // systemctl daemon-reload
		if err := h.Restore(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
		h.Run = was.host.Run
		if diff := cmp.Diff(lines(was.Differences), lines(compare(t, h, d, Options{}).Differences)); diff != "" {
			t.Errorf("restored (-want +got):\n%s", diff)
		}
	}
}
