//go:build machine

package upkeep

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/infra/localcloud/stage"
)

// older takes real packages of Debian's back to a version before theirs, with the same files, and leaves their
// own to be had: OpenSSL's and PostgreSQL's from an archive that calls itself the security archive, Caddy's from
// another one. What Debian's own archives have of each moves between them with its point releases.
var older = `
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt-get -q update >/dev/null
mkdir -p /root/older /srv/archive /srv/plain /root/sources
chown _apt /root/older
cd /root/older
for package in libssl3t64 openssl openssl-provider-legacy postgresql-17 postgresql-client-17 libpq5 caddy; do
	apt-get -q download $package >/dev/null 2>&1
	file=$(ls ${package}_*.deb)
	version=$(dpkg-deb --field $file Version)
	dpkg-deb --raw-extract $file tree
	sed -i "/^Version:/s/$/~old/; /^Depends:/s/= $version)/= $version~old)/g" tree/DEBIAN/control
	dpkg-deb -Znone --build tree older-$package.deb >/dev/null
	rm -r tree
	case $package in
		caddy) mv $file /srv/plain/ ;;
		*) mv $file /srv/archive/ ;;
	esac
done
dpkg --force-confold --install older-*.deb >/dev/null 2>&1
mv /etc/apt/sources.list.d/* /root/sources/
printf 'deb [trusted=yes] file:/srv/%s ./\n' archive plain >/etc/apt/sources.list.d/test.list
` + indexed("/srv/archive", "Debian-Security", "stable-security", "trixie-security") +
	indexed("/srv/plain", "Debian", "stable-backports", "trixie-backports") + `
systemctl restart postgresql@17-main caddy
needrestart -r a </dev/null >/dev/null
systemctl restart systemd-logind mattermost
needrestart -b | grep SVC || true`

// TestUpdates is a server whose packages are older than Debian's: OpenSSL, which sshd, PostgreSQL
// and systemd use and Mattermost does not, PostgreSQL itself, and Caddy.
func TestUpdates(t *testing.T) {
	s := square.Fresh(t)
	if left := s.Exec(t, older); left != "" {
		t.Fatalf("runs old files before the test began:\n%s", left)
	}
	check := osCheck(t, s, 10)
	var names []string
	for _, one := range check.System.Packages {
		names = append(names, one.Name)
		if one.Download == 0 || one.Security == (one.Name == "caddy") {
			t.Errorf("%+v", one)
		}
	}
	for _, name := range []string{"caddy", "libssl3t64", "postgresql-17"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not pending: %v", name, names)
		}
	}
	if !slices.Contains(check.System.Restart, "mattermost") {
		t.Errorf("check says that these restart: %v", check.System.Restart)
	}
	saidBefore(t, s, names)
	const lives = `systemctl show --value -p InvocationID mattermost postgresql@17-main caddy ssh systemd-journald systemd-logind systemd-networkd cron dbus | grep .`
	was := strings.Fields(s.Exec(t, lives))
	began := time.Now()
	var got, rest systemReport
	seen := s.Watched(t, func() {
		got = osApply(t, s, nil, "--security-only")
		rest = osApply(t, s, nil)
	})
	if seen.Failed > 0 {
		t.Errorf("%d visitors of %d saw an error: %v", seen.Failed, seen.Asked, seen.Wrong)
	}
	if got.Rebooted != "" || len(got.Reboot.Why) > 0 || len(got.Warnings) > 0 || got.Downtime == 0 {
		t.Errorf("report is %+v", got)
	}
	// By name, what needrestart says of a libssl and a PostgreSQL that were replaced on Debian 13.
	want := []string{"mattermost.service", "postgresql@17-main.service", "ssh.service",
		"systemd-journald.service", "systemd-logind.service", "systemd-manager", "systemd-networkd.service"}
	slices.Sort(got.Restarted)
	if diff := cmp.Diff(want, got.Restarted); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"caddy.service"}, rest.Restarted); diff != "" || rest.Downtime != 0 {
		t.Errorf("for what is not of the security archive: %s, away for %v", diff, rest.Downtime)
	}
	is := strings.Fields(s.Exec(t, lives))
	for i, unit := range []string{"mattermost", "postgresql@17-main", "caddy", "ssh", "systemd-journald", "systemd-logind", "systemd-networkd", "cron", "dbus"} {
		if restarted := is[i] != was[i]; restarted == (unit == "cron" || unit == "dbus") {
			t.Errorf("%s restarted: %v", unit, restarted)
		}
	}
	// Each once: systemd's own words since the run began.
	starts := s.Exec(t, fmt.Sprintf(`journalctl --sync; journalctl -q -o cat _PID=1 --since=@%d | grep -E '^Started (mattermost|postgresql@17-main|caddy|ssh)\.service' | sort | uniq -c | awk '{print $1, $3}'`, began.Unix()))
	if diff := cmp.Diff("1 caddy.service\n1 mattermost.service\n1 postgresql@17-main.service\n1 ssh.service", starts); diff != "" {
		t.Errorf("started, how often:\n%s", diff)
	}
	if version := s.Exec(t, "psql -XAtq -h /var/run/postgresql -U mattermost mattermost -c 'show server_version' | cut -d' ' -f1; dpkg-query -W -f '${Version}' postgresql-17"); !strings.HasPrefix(strings.Fields(version)[1], strings.Fields(version)[0]) {
		t.Errorf("PostgreSQL that runs, and that is installed: %s", version)
	}
	clean(t, s)
	s.Serves(t, stage.Before)
	osCheck(t, s)

	// Nothing to do: nothing is touched.
	const traces = `systemctl show --value -p InvocationID mattermost postgresql@17-main caddy ssh
find /opt/mattermost /etc /usr /boot /var/lib/dpkg /var/lib/townsquare -xdev ! -name 'lock*' -printf '%p %i %T@\n' | sort`
	before := strings.Split(s.Exec(t, traces), "\n")
	if again := osApply(t, s, nil); !again.UpToDate || again.Downtime != 0 || len(again.Restarted) > 0 {
		t.Errorf("again: %+v", again)
	}
	for _, line := range strings.Split(s.Exec(t, traces), "\n") {
		if !slices.Contains(before, line) {
			t.Errorf("changed: %s", line)
		}
	}
}

// saidBefore: what is pending is in the status, and only the security archive's part where that is
// asked for.
func saidBefore(t *testing.T, s *stage.Server, names []string) {
	t.Helper()
	var only systemPlan
	s.Upgrade(t.Context(), "os", "check", "--security-only", "--json").Must(t, 10).Into(t, &only)
	for _, one := range only.System.Packages {
		if !one.Security {
			t.Errorf("not a security update: %+v", one)
		}
	}
	if n := len(only.System.Packages); n == 0 || n >= len(names) {
		t.Errorf("%d of %d packages are security updates", n, len(names))
	}
	if r := s.Upgrade(t.Context(), "status").Must(t, 0, 13); !strings.Contains(r.Stdout, fmt.Sprintf("%d packages pending, %d of them security", len(names), len(only.System.Packages))) {
		t.Errorf("status says\n%s", r.Stdout)
	}
	var status systemPlan
	if s.Upgrade(t.Context(), "status", "--json").Must(t, 0, 13).Into(t, &status); len(status.System.Packages) != len(names) {
		t.Errorf("status has %+v", status.System)
	}
}
