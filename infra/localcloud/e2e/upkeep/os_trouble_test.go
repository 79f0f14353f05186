//go:build machine

package upkeep

import (
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// TestTrouble is a server on which updates go wrong. Each ends in a clear report, with the service up
// and untouched.
func TestTrouble(t *testing.T) {
	s := square.Fresh(t)
	a := newArchive(t, s)
	pid := mainPID(t, s)
	demo := func(version string) deb {
		return deb{name: "demo", version: version, files: map[string]string{"/etc/demo.conf": "of " + version}, conffiles: []string{"/etc/demo.conf"}}
	}
	for _, c := range []struct {
		title string
		do    func(t *testing.T)
	}{
		{"a package that is held stays", func(t *testing.T) {
			a.installed(demo("1"))
			a.publish(demo("2"))
			s.Exec(t, "apt-mark hold demo >/dev/null")
			if got := osCheck(t, s); len(got.System.Held) != 1 {
				t.Errorf("held: %v", got.System.Held)
			}
			if got := osApply(t, s, nil); !got.UpToDate || version(t, s, "demo") != "1" {
				t.Errorf("%+v, demo %s", got, version(t, s, "demo"))
			}
			s.Exec(t, "apt-mark unhold demo >/dev/null")
		}},
		{"a configuration file that was changed stays", func(t *testing.T) {
			s.Exec(t, "echo ours >/etc/demo.conf")
			osApply(t, s, nil)
			if got := s.Exec(t, "cat /etc/demo.conf /etc/demo.conf.dpkg-dist"); got != "ours\nof 2" || version(t, s, "demo") != "2" {
				t.Errorf("the file is %q, demo %s", got, version(t, s, "demo"))
			}
		}},
		{"someone else works on packages", func(t *testing.T) {
			a.publish(demo("3"))
			// Until well after the upgrader has come to the host.
			s.Exec(t, `systemd-run --quiet --unit=someone python3 -c '
import fcntl, subprocess, time
lock = open("/var/lib/dpkg/lock-frontend", "r+")
fcntl.lockf(lock, fcntl.LOCK_EX)
open("/run/locked", "w")
while subprocess.run(["pgrep", "-f", "host examine plan"], stdout=subprocess.DEVNULL).returncode:
    time.sleep(0.2)
time.sleep(8)'
until [ -e /run/locked ]; do sleep 0.1; done`)
			r := s.Upgrade(t.Context(), "os", "apply", "--yes").Must(t)
			if !strings.Contains(r.Stderr, "waiting for python3 (process ") || version(t, s, "demo") != "3" {
				t.Errorf("nobody was named:\n%s", r)
			}
		}},
		{"a package would go", func(t *testing.T) {
			a.publish(deb{name: "demo", version: "4", fields: "Depends: other\n"}, deb{name: "other", version: "1", fields: "Conflicts: restic\n"})
			got := osApply(t, s, []int{3})
			if len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Found, "would remove restic") {
				t.Errorf("problems: %+v", got.Problems)
			}
			a.withdraw("demo", "other")
		}},
		{"another major version of PostgreSQL would come", func(t *testing.T) {
			a.installed(deb{name: "postgresql", version: "17+1"})
			a.publish(deb{name: "postgresql", version: "18+1", fields: "Depends: postgresql-18\n"}, deb{name: "postgresql-18", version: "18.1"})
			got := osApply(t, s, []int{3})
			if len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Found, "major version 18") {
				t.Errorf("problems: %+v", got.Problems)
			}
			a.withdraw("postgresql", "postgresql-18")
		}},
		{"the disk is full", func(t *testing.T) {
			a.publish(deb{name: "demo", version: "5", fields: "Installed-Size: 900000000\n"})
			got := osApply(t, s, []int{3})
			if len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Where, "disk of /") {
				t.Errorf("problems: %+v", got.Problems)
			}
			a.withdraw("demo")
		}},
		{"the disk fills up while packages are unpacked", func(t *testing.T) {
			s.Exec(t, "mkdir /usr/share/full && mount -t tmpfs -o size=16k none /usr/share/full")
			a.publish(deb{name: "demo", version: "6", files: map[string]string{"/usr/share/full/much": strings.Repeat("0123456789", 6000)}})
			got := osApply(t, s, []int{1})
			if !strings.Contains(got.Error, "No space left on device") || version(t, s, "demo") != "3" {
				t.Errorf("error is %q, demo %s", got.Error, version(t, s, "demo"))
			}
			s.Exec(t, "umount /usr/share/full")
			osApply(t, s, nil)
			if got := version(t, s, "demo"); got != "6" {
				t.Errorf("with room again demo is %s", got)
			}
		}},
		{"a package's own script fails", func(t *testing.T) {
			a.publish(deb{name: "demo", version: "7", postinst: "echo no >&2; exit 7"})
			got := osApply(t, s, []int{1})
			if !strings.Contains(got.Error, "demo: ") || !strings.Contains(got.Error, "post-installation script") {
				t.Errorf("error is %q", got.Error)
			}
			if left := s.Exec(t, "ls /usr/sbin/policy-rc.d /run/townsquare/held-back 2>/dev/null || true"); left != "" {
				t.Errorf("left: %s", left)
			}
			a.publish(deb{name: "demo", version: "8"}) // the cure
			osApply(t, s, nil)
			if got := version(t, s, "demo"); got != "8" {
				t.Errorf("demo is %s", got)
			}
		}},
		{"the archive cannot be reached", func(t *testing.T) {
			s.Exec(t, "echo 'deb [trusted=yes] http://10.91.0.1:9/debian ./' >/etc/apt/sources.list.d/down.list")
			got := osApply(t, s, []int{1})
			if !strings.Contains(got.Error, "10.91.0.1") {
				t.Errorf("error is %q", got.Error)
			}
			s.Exec(t, "rm /etc/apt/sources.list.d/down.list")
		}},
	} {
		t.Run(c.title, func(t *testing.T) {
			c.do(t)
			if mainPID(t, s) != pid {
				t.Error("Mattermost was restarted")
				pid = mainPID(t, s)
			}
		})
	}
	clean(t, s)
	s.Serves(t, stage.Before)
	osCheck(t, s)
}

func version(t testing.TB, s *stage.Server, name string) string {
	t.Helper()
	return s.Exec(t, "dpkg-query -W -f '${Version}' "+name)
}
