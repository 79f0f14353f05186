package drift

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	timerOn  = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nNextElapseUSecRealtime=Sun 2026-12-06 07:31:31 UTC\n"
	timerOff = "LoadState=loaded\nUnitFileState=disabled\nActiveState=inactive\n"
)

// kept is a host that no stack made, on which this program keeps timers, backups and recovery.
func kept(t *testing.T) (h Host, own Own, units map[string]string, told *[]string) {
	t.Helper()
	units, told = map[string]string{host.RecoveryUnit: "LoadState=loaded\nUnitFileState=enabled\n"}, &[]string{}
	h = Host{system.System{Root: t.TempDir(), Run: func(_ context.Context, c host.Command) ([]byte, error) {
		if c.Args[0] != "show" {
			*told = append(*told, strings.Join(c.Args, " "))
			return nil, nil
		}
		var blocks []string
		for _, name := range c.Args[1:] {
			if !strings.HasPrefix(name, "--") {
				blocks = append(blocks, "Id="+name+"\n"+units[name])
			}
		}
		return []byte(strings.Join(blocks, "\n")), nil
	}}}
	own = Own{Installed: true, Backups: true, Timers: host.TimersOf(state.Config{Backup: state.Backups{Repository: "/srv/backup"}})}
	if _, err := h.service().SetTimers(t.Context(), h.Root, own.Timers); err != nil {
		t.Fatal(err)
	}
	for _, timer := range own.Timers {
		units[timer.Name+".timer"] = timerOn
	}
	write(t, h, "/etc/passwd", fmt.Sprintf("root:x:%d:%d::/root:/bin/bash\n", os.Getuid(), os.Getgid()), 0o644)
	write(t, h, state.BackupPassword, "verysecret\n", 0o600)
	*told = nil
	return h, own, units, told
}

func write(t *testing.T, h Host, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(h.path(path)), 0o755), os.WriteFile(h.path(path), []byte(text), mode), os.Chmod(h.path(path), mode)); err != nil {
		t.Fatal(err)
	}
}

// What unattended runs hang on is compared on every host, and put back.
func TestOwnUnitsAndSecrets(t *testing.T) {
	for want, test := range map[string]struct {
		change func(t *testing.T, h Host, units map[string]string)
		told   string
	}{
		"": {func(*testing.T, Host, map[string]string) {}, ""},
		"townsquare-backup.timer is switched off": {func(_ *testing.T, _ Host, units map[string]string) { units["townsquare-backup.timer"] = timerOff },
			"restart townsquare-backup.timer"},
		"townsquare-upgrade.timer is not enabled at boot": {func(_ *testing.T, _ Host, units map[string]string) {
			units["townsquare-upgrade.timer"] = strings.Replace(timerOn, "=enabled", "=disabled", 1)
		}, "enable --quiet townsquare-upgrade.timer"},
		"townsquare-recover.service is not enabled at boot": {func(_ *testing.T, _ Host, units map[string]string) {
			units[host.RecoveryUnit] = "LoadState=loaded\nUnitFileState=disabled\n"
		}, "enable --quiet " + host.RecoveryUnit},
		"/etc/townsquare/backup.password has the mode 0644, not 0600": {func(t *testing.T, h Host, _ map[string]string) {
			if err := os.Chmod(h.path(state.BackupPassword), 0o644); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"/etc/townsquare/backup.password is missing: no backup can be made | left": {func(t *testing.T, h Host, _ map[string]string) {
			if err := os.Remove(h.path(state.BackupPassword)); err != nil {
				t.Fatal(err)
			}
		}, ""},
	} {
		t.Run(want, func(t *testing.T) {
			h, own, units, told := kept(t)
			test.change(t, h, units)
			c := compare(t, h, nil, Options{Own: own})
			if got := strings.Join(lines(c.Differences), "\n"); got != want {
				t.Fatalf("%q, want %q", got, want)
			}
			if err := errors.Join(c.Write(t.Context()), c.Units(t.Context())); err != nil {
				t.Fatal(err)
			}
			if test.told != "" && !slices.Contains(*told, test.told) {
				t.Errorf("systemd was told %q", *told)
			}
			if info, err := os.Stat(h.path(state.BackupPassword)); err == nil && info.Mode() != 0o600 {
				t.Errorf("the password has the mode %v", info.Mode())
			}
		})
	}
}

// A server on which nothing was installed yet promises nothing.
func TestOwnOf(t *testing.T) {
	yes := true
	config := state.Config{Timers: &yes, Backup: state.Backups{Repository: "/srv/backup"}}
	if diff := cmp.Diff(Own{Backups: true}, OwnOf(t.TempDir(), &state.State{}, config)); diff != "" {
		t.Error(diff)
	}
	if own := OwnOf(t.TempDir(), &state.State{Active: "9.10.0"}, config); len(own.Timers) != 5 || !own.Installed {
		t.Errorf("%+v", own)
	}
}

// Mattermost itself, and the database that it needs, run as soon as they are there.
func TestStoppedServices(t *testing.T) {
	h, d, answers := made(t)
	d.Files = append(d.Files, state.File{Path: "/etc/postgresql/17/main/pg_hba.conf", Owner: d.Files[1].Owner, Mode: "0644", Content: "x\n"})
	write(t, h, "/etc/postgresql/17/main/pg_hba.conf", "x\n", 0o644)
	answers["systemctl show --property=ActiveState --value postgresql@17-main.service"] = "inactive\n"
	answers["systemctl show --property=Id"] = answers["systemctl show"]
	delete(answers, "systemctl show")
	write(t, h, "/opt/mattermost/bin/mattermost", "", 0o755)
	c := compare(t, h, d, Options{})
	want := []string{"postgresql@17-main.service does not run", "mattermost.service does not run"}
	if diff := cmp.Diff(want, rootTwice(lines(c.Differences))); diff != "" {
		t.Error(diff)
	}
	if len(c.units) != 2 || c.units[0].unit != "postgresql@17-main.service" || c.units[1].verb[0] != "start" {
		t.Errorf("%+v", c.units)
	}
}

// What is left as it is may still be a risk, and says so.
func TestRisks(t *testing.T) {
	h, d, answers := made(t)
	answers["/usr/sbin/sshd -T -C"] = "permitrootlogin yes\nlogingracetime 30\n"
	got := compare(t, h, d, Options{}).Differences
	i := slices.IndexFunc(got, func(d Difference) bool { return d.Kind == KindSSH })
	if i < 0 || got[i].Left == "" || got[i].Risk != "root can log in over SSH" {
		t.Errorf("%+v", got)
	}
}
