//go:build machine

package upkeep

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/stage"
)

// byHand is what people do to a server in years of good intentions. Nobody's connection is cut by it.
const byHand = `
sed -i 's/^\theader Strict/\trespond \/hand "by hand"\n\theader Strict/' /etc/caddy/Caddyfile
systemctl reload caddy
sed -i 's/^PermitRootLogin no/PermitRootLogin yes/; s/^AllowUsers ops/AllowUsers ops root/' /etc/ssh/sshd_config.d/10-townsquare.conf
systemctl reload ssh
nft add rule inet townsquare input tcp dport 9999 accept
systemctl unmask apt-daily.service
systemctl enable --now apt-daily.timer
systemctl disable caddy
dpkg --purge zstd
rm /etc/tmpfiles.d/townsquare.conf
chmod 666 /etc/systemd/system/mattermost.service
chmod 750 /var/lib/mattermost
sed -i s/100/999/ /etc/postgresql/17/main/conf.d/townsquare.conf
mkdir /etc/systemd/system/caddy.service.d/../mattermost.service.d
printf '[Service]\nNice=5\n' >/etc/systemd/system/mattermost.service.d/own.conf
systemctl daemon-reload
useradd --create-home --shell /bin/bash mallory
echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1hbGxvcnlNYWxsb3J5TWFsbG9yeU1hbGxvcnlNYWxs mallory@elsewhere' >>/home/ops/.ssh/authorized_keys
`

// differs is how a status, a plan or a report names what is not as the stack says.
type differs struct {
	Compared bool
	UpToDate bool `json:"up_to_date"`
	Repaired []string
	Drift    []struct{ Kind, Name, Found, Left, Lines string }
}

// names are the differences that a repair puts back, and those that it leaves, a line each.
func (d differs) names() (back, left string) {
	for _, one := range d.Drift {
		if line := one.Name + " " + one.Found + "\n"; one.Left == "" {
			back += line
		} else {
			left += line
		}
	}
	return back, left
}

// inCloud takes a record away, as somebody may in the cloud's control panel, until it is called off.
func inCloud(t *testing.T, s *stage.Server) (callOff func()) {
	t.Helper()
	file := filepath.Join(s.Cloud.Dir, "inventory.json")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var inventory map[string]any
	if err := json.Unmarshal(was, &inventory); err != nil {
		t.Fatal(err)
	}
	records := inventory["resources"].(map[string]any)["DnsRecord"].(map[string]any)
	maps.DeleteFunc(records, func(_ string, record any) bool { return record.(map[string]any)["Type"] == "AAAA" })
	now, err := json.Marshal(inventory)
	put := func(text []byte) {
		if err := errors.Join(err, os.WriteFile(file, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put(now)
	return func() { put(was) }
}

func look(t *testing.T, s *stage.Server, code int, arguments ...string) (d differs) {
	t.Helper()
	s.Upgrade(t.Context(), append(arguments, "--json")...).Must(t, code).Into(t, &d)
	return d
}

// status is that of a server that is healthy; it may lack a backup.
func status(t *testing.T, s *stage.Server) (d differs) {
	t.Helper()
	s.Upgrade(t.Context(), "status", "--json").Must(t, 0, 13).Into(t, &d)
	return d
}

// TestRepair changes a server by hand in every way that we know of, and puts it back while people use it.
func TestRepair(t *testing.T) {
	s := square.Fresh(t)
	if d := status(t, s); !d.Compared || len(d.Drift) > 0 {
		t.Fatalf("as it was made, it differs: %+v", d.Drift)
	}
	daily := newRunner(t, s)
	daily.run("drift.sh", daily.pulumi()).says(t, "Everything in the cloud is as the program says.", "The server is as its stack says.")
	s.Exec(t, byHand)
	panel := inCloud(t, s)
	j := daily.run("drift.sh", daily.pulumi())
	panel()
	for _, want := range []string{"`townsquare-dev-aaaa` (digitalocean:index:DnsRecord) is missing", "::warning::dev is not as the program says: 1 resources differ",
		"::warning::the server of dev is not as its stack says", "/etc/caddy/Caddyfile differs in 1 line", "upgrade repair --stack dev"} {
		if !strings.Contains(j.log+j.summary, want) || j.code != 1 {
			t.Errorf("exit code %d; drift.sh does not say %q:\n%s\n%s", j.code, want, j.log, j.summary)
		}
	}
	daily.noSecrets()
	d := look(t, s, 13, "status")
	back, left := d.names()
	for _, want := range []string{
		"/etc/caddy/Caddyfile differs in 1 line", "/etc/ssh/sshd_config.d/10-townsquare.conf differs in 4 lines",
		"the firewall has other rules, in 1 line of table inet townsquare",
		"apt-daily.timer is switched on", "apt-daily.service can be started", "caddy.service would not start with the host",
		"the package zstd is not installed", "/etc/tmpfiles.d/townsquare.conf is missing",
		"/etc/systemd/system/mattermost.service has the mode 0666, not 0644", "/var/lib/mattermost has the mode 0750, not 1770",
		"/etc/postgresql/17/main/conf.d/townsquare.conf differs in ",
	} {
		if !strings.Contains(back, want) {
			t.Errorf("not named, or not to be put back: %s", want)
		}
	}
	for _, want := range []string{"the account mallory was added", "(mallory@elsewhere) was added", "/etc/systemd/system/mattermost.service.d/own.conf was added"} {
		if !strings.Contains(left, want) {
			t.Errorf("not named, or not left: %s", want)
		}
	}
	if t.Failed() || strings.Count(back, "\n") != 11 || strings.Count(left, "\n") != 3 {
		t.Fatalf("to put back:\n%s\nto leave:\n%s", back, left)
	}
	if d := look(t, s, 10, "repair", "--show"); len(d.Drift) != 14 || !strings.Contains(fmt.Sprint(d.Drift), `-	respond /hand "by hand"`) {
		t.Errorf("it shows %+v", d.Drift)
	}

	// Killed where it is most dangerous: the files are right, and nobody has read them.
	over, struck := make(chan struct{}), make(chan error, 1)
	go func() {
		struck <- s.Strike(t.Context(), stage.Point{Step: "services"}, over, func(pid int) error { return unix.Kill(pid, unix.SIGKILL) })
	}()
	r := s.Upgrade(t.Context(), "repair", "--yes")
	close(over)
	if err := <-struck; err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	r.Must(t, 4)
	if run := s.Record(t).Run; run != nil {
		t.Fatalf("left in the record: %v", run)
	}
	if again, _ := look(t, s, 13, "status").names(); !strings.Contains(again, "/etc/caddy/Caddyfile differs in 1 line") || strings.Contains(again, "zstd") {
		t.Errorf("after the kill it differs so:\n%s", again)
	}

	seen := s.Watched(t, func() {
		r := s.Upgrade(t.Context(), "repair", "--yes", "--remove-keys").Must(t)
		t.Logf("repaired in %v:\n%s", r.Took.Round(10*time.Millisecond), r.Stdout)
		if !strings.Contains(r.Stdout, "Put back: 10 differences.") || !strings.Contains(r.Stdout, "the account mallory was added") {
			t.Errorf("it says:\n%s", r)
		}
	})
	if seen.Failed > 0 {
		t.Errorf("%d visits failed", seen.Failed)
	}
	wrong := s.Exec(t, `
caddy adapt --config /etc/caddy/Caddyfile | grep -o 'by hand' || true
curl -s --unix-socket /run/caddy/admin.sock http://localhost/config/ | grep -o 'by hand' || true
sshd -T | grep -i '^permitrootlogin yes' || true
nft list ruleset | grep 9999 || true
systemctl is-enabled caddy apt-daily.service apt-daily.timer | grep -vxE 'enabled|masked|disabled' || true
systemctl is-active apt-daily.timer | grep -v inactive || true
zstd --version >/dev/null || echo no zstd
stat -c '%U:%G %a' /var/lib/mattermost | grep -vx 'root:mattermost 1770' || true
grep mallory /home/ops/.ssh/authorized_keys || true
runuser -u postgres -- psql -XAtqc 'show effective_io_concurrency' | grep -vx 100 || true`)
	if wrong != "" {
		t.Errorf("after the repair there is still:\n%s", wrong)
	}
	if d := look(t, s, 0, "repair", "--yes"); !d.UpToDate || len(d.Drift) != 2 {
		t.Errorf("a second repair: %+v", d)
	}

	// What does not hold never counts.
	s.Exec(t, `echo "# by hand" >>/etc/caddy/Caddyfile; install -m 755 /dev/stdin /usr/local/bin/caddy <<<'#!/bin/sh
echo no >&2; exit 1'`)
	before := s.Exec(t, "cat /etc/caddy/Caddyfile")
	if r := s.Upgrade(t.Context(), "repair", "--yes").Must(t, 1); !strings.Contains(r.Stdout, "/etc/caddy/Caddyfile does not hold") {
		t.Errorf("it says:\n%s", r)
	}
	if is := s.Exec(t, "rm /usr/local/bin/caddy; cat /etc/caddy/Caddyfile"); is != before {
		t.Errorf("a file that does not hold was left in place:\n%s", is)
	}
	s.Serves(t, stage.Before)
}
