//go:build machine

package e2e

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/stage"
)

// promises are what first boot leaves: upgrade, operators and the security notes rely on each.
// A script prints nothing but what is wanted.
var promises = []struct{ title, script, want string }{
	{"cloud-init ended well", `cloud-init status --format json | python3 -c 'import json,sys; s=json.load(sys.stdin); print(s["status"], s["errors"])'`, "done []"},
	{"the marker has the format's number", `cat /etc/townsquare/ready`, "1"},
	{"no unit failed", `systemctl --failed --no-legend`, ""},
	{"one host key", `ls /etc/ssh | grep -c '^ssh_host_.*_key$'; ls /etc/ssh/ssh_host_*_key`, "1\n/etc/ssh/ssh_host_ed25519_key"},
	{"nobody has a password", `awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow`, ""},
	{"the account's key opens nothing", `grep -l opens-nothing /home/*/.ssh/authorized_keys; grep opens-nothing /root/.ssh/authorized_keys | grep -c ',command="echo '`, "1"},
	{"only what is meant listens beyond loopback", `ss -Hlntu | awk '$5 !~ /^(127\.|\[::1\])/ {sub(/.*:/, "", $5); print $1, $5}' | sort -u`,
		"tcp 22\ntcp 443\ntcp 80\nudp 443"},
	{"Mattermost's files are on their volume", `findmnt -no SOURCE /var/lib/mattermost; stat -c "%U:%G %a" /var/lib/mattermost`,
		"/dev/disk/by-id/scsi-0DO_Volume_townsquare-dev-files\nroot:mattermost 1770"},
	{"the database is on its volume", `findmnt -no SOURCE /var/lib/postgresql`, "/dev/disk/by-id/scsi-0DO_Volume_townsquare-dev-database"},
	{"each role for its own user only", `
for user in mattermost root postgres ops caddy; do
	for role in mattermost townsquare; do
		if runuser -u "$user" -- psql -XAtq -h /var/run/postgresql -U "$role" -d mattermost -c 'select 1' >/dev/null 2>&1; then
			echo "$user is $role"
		fi
	done
done`, "mattermost is mattermost\nroot is mattermost\nroot is townsquare"},
	{"the application may not make databases", `runuser -u mattermost -- psql -XAtq -U mattermost mattermost -c 'create database x' 2>&1 | grep -o 'permission denied'`, "permission denied"},
	{"the database writes checksums", `psql -XAtq -U mattermost mattermost -c 'show data_checksums'`, "on"},
	{"Caddy keeps posts in a restart", `dpkg --compare-versions "$(dpkg-query -W -f '${Version}' caddy)" ge 2.11 && grep -c 'keepalive off' /etc/caddy/Caddyfile`, "1"},
	{"nothing updates by itself", `dpkg-query -W -f '${db:Status-Status}' unattended-upgrades 2>/dev/null | grep -x installed; systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer`, "disabled\ndisabled"},
	{"nothing restarts by itself", `perl -e 'our %nrconf; my $nrconf = \%nrconf; do "/etc/needrestart/conf.d/townsquare.conf"; print $nrconf{restart}'`, "l"},
	{"the unit is hardened", `systemd-analyze security mattermost.service --threshold=15 >/dev/null && echo below 1.5`, "below 1.5"},
	{"metadata is for root", `for user in root caddy mattermost ops; do
	if timeout 5 runuser -u "$user" -- bash -c ': </dev/tcp/169.254.169.254/80' 2>/dev/null; then echo "$user"; fi
done`, "root"},
	{"first boot may run again", `/usr/local/lib/townsquare/first-boot >/dev/null 2>&1; echo $?; systemctl is-active caddy postgresql@17-main nftables`, "0\nactive\nactive\nactive"},
}

func (s *server) host(t *testing.T) {
	for _, p := range promises {
		t.Run(p.title, func(t *testing.T) {
			// Without pipefail: grep finding nothing is an answer here.
			out, err := s.Machine.Exec(t.Context(), "bash", "-uc", p.script)
			if got := strings.TrimSpace(out); got != p.want {
				t.Errorf("got %q, want %q (%v)", got, p.want, err)
			}
		})
	}
	t.Run("only the pinned key proves the host, and root may not come in", s.doors)
}

// doors knocks on port 22 as the world does: with the operator's own key, but as root.
func (s *server) doors(t *testing.T) {
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.Outputs.SSHHostKey))
	if err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadFile(stage.Identity(s.Cloud))
	if err != nil {
		t.Fatal(err)
	}
	operator, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for user, welcome := range map[string]bool{"ops": true, "root": false, "mattermost": false} {
		conn, err := stage.Inside(s.Cloud)(t.Context(), "tcp", net.JoinHostPort(s.Outputs.Address, "22"))
		if err != nil {
			t.Fatal(err)
		}
		client, channels, requests, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(operator)},
			HostKeyCallback: ssh.FixedHostKey(pinned), Timeout: 10 * time.Second,
		})
		if (err == nil) != welcome {
			t.Errorf("%s at the door: %v, want welcome %v", user, err, welcome)
		}
		if err == nil {
			go ssh.DiscardRequests(requests)
			go func() {
				for c := range channels {
					_ = c.Reject(ssh.Prohibited, "a test")
				}
			}()
			_ = client.Close()
		}
		_ = conn.Close()
	}
}

// addresses looks at whom Mattermost holds for the origin of logins: the visitor, not the proxy.
func (s *server) addresses(t *testing.T) {
	const query = `select count(*) > 0, bool_and(ipaddress not like '127.%') from audits where ipaddress <> ''`
	out, err := s.Machine.Exec(t.Context(), "psql", "-XAtq", "-h", "/var/run/postgresql", "-U", "mattermost", "-d", "mattermost", "-c", query)
	if got := strings.TrimSpace(out); err != nil || got != "t|t" {
		t.Errorf("logins, and none from the proxy: %q, want \"t|t\" (%v)", got, err)
	}
}

// rebuilt takes the machine away, disk and all, and puts a new one in its place with the same
// volumes and the same first-boot data, as a replaced droplet has: users must find everything. The
// cloud's number stays, as the stack's record has it.
func (s *server) rebuilt(t *testing.T, version string) {
	ctx := t.Context()
	spec := s.Machine.Spec
	if err := s.Machine.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Machine.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	again, err := machine.Create(ctx, s.Cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	s.Machine = again
	address, err := netip.ParseAddr(s.Outputs.Address)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Cloud.Assign(address, spec.Name); err != nil {
		t.Fatal(err)
	}
	if err := again.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := again.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if got := s.Apply(t, version, "2s"); got.Outcome != "done" {
		t.Errorf("report is %+v", got)
	}
	s.whole(t, version) // with what lay on the lost disk, from the newest backup
}
