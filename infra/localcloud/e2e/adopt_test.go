//go:build machine

package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/stage"
)

// TestAdopted takes over a server that someone set up by the vendor's guide years ago, without
// Pulumi and without a proxy: a plain /opt/mattermost with its data inside, the database's password
// in config.json, the unit in /lib/systemd/system, and a folder of their own.
func TestAdopted(t *testing.T) {
	s := byTheGuide(t)
	var err error
	if s.People, err = community.Fill(t.Context(), s.Client(), nil); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, `
install -d -o mattermost -g mattermost -m 750 /opt/mattermost/tls /opt/mattermost/plugins/org.townsquare.fountain
echo "not a real key" >/opt/mattermost/tls/site.key
echo '{"id": "org.townsquare.fountain", "name": "Fountain", "version": "1.0.0"}' >/opt/mattermost/plugins/org.townsquare.fountain/plugin.json
chown mattermost: /opt/mattermost/tls/site.key /opt/mattermost/plugins/org.townsquare.fountain/plugin.json
chmod 600 /opt/mattermost/tls/site.key`)
	s.kept = s.Exec(t, kept)

	// Not the logs and not the time of data/, where Mattermost tries now and then if it can write.
	const traces = "find /opt -xdev -not -path '*/logs*' -not -path '*/data' -printf '%p %i %T@\n' | sort; systemctl show -p MainPID mattermost"
	was := s.Exec(t, traces)
	s.Upgrade(t.Context(), "plan", "--json", "--to", after).Must(t)
	if is := s.Exec(t, traces); is != was {
		t.Errorf("plan changed the host: %s", cmp.Diff(was, is))
	}
	// First a version that does not work: the plain directory must come back as it was.
	localcloud(t, "mirror", "publish", "--bad", "exit").Must(t)
	s.Watched(t, func() { s.Apply(t, "9.10.2", "10s", 4) })
	localcloud(t, "mirror", "withdraw", "9.10.2").Must(t)
	s.whole(t, before)
	s.Watched(t, func() {
		if got := s.Apply(t, after, "10s"); got.From != before || got.Outcome != "done" {
			t.Errorf("report is %+v", got)
		}
	})
	s.whole(t, after)
	if link := s.Exec(t, "readlink /opt/mattermost"); !strings.HasPrefix(link, "/opt/townsquare/versions/"+after) {
		t.Errorf("/opt/mattermost points to %q", link)
	}
}

// byTheGuide makes a server as the vendor's guide for Debian does it.
func byTheGuide(t *testing.T) *server {
	t.Helper()
	ctx := t.Context()
	cloud, err := square.Cloud()
	if err != nil {
		t.Fatal(err)
	}
	hostKey, hostPublic := key(t)
	opsKey, opsPublic := key(t)
	identity := filepath.Join(t.TempDir(), "ops")
	if err := os.WriteFile(identity, []byte(opsKey), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := machine.Create(ctx, cloud, machine.Spec{Name: "guide", UserData: userData(hostKey, hostPublic, opsPublic)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := m.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	address := m.Spec.Address.String()
	visitor, err := stage.Visitor(cloud, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: &stage.Server{Stage: square, Cloud: cloud, Machine: m, Visitor: visitor}}
	s.Target = []string{"--host", "ops@" + address, "--host-key", hostPublic, "--identity", identity}
	s.URL = "http://" + address + ":8065"
	s.Input(t, strings.NewReader(rand.Text()), fmt.Sprintf(guide, s.URL))
	s.useMirror(t)
	stage.Until(t, stage.Patience, func() error {
		_, err := s.Client().Version(ctx)
		return err
	})
	return s
}

// key makes an ed25519 key: the private half as a PEM file's text, the public one as one line.
func key(t *testing.T) (private, public string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))
}

func userData(hostKey, hostPublic, opsPublic string) string {
	return fmt.Sprintf(`#cloud-config
ssh_deletekeys: true
ssh_keys:
  ed25519_private: |
    %s
  ed25519_public: %s
users:
  - name: ops
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys: [%q]
package_update: true
packages: [postgresql, sudo]
`, strings.ReplaceAll(strings.TrimSpace(hostKey), "\n", "\n    "), hostPublic, opsPublic)
}

// guide is the vendor's guide; the database's password comes on stdin, the public URL in its place.
const guide = `
read -r password || true
cd /tmp
sudo -u postgres psql -qc "CREATE DATABASE mattermost"
sudo -u postgres psql -q <<SQL
CREATE USER mmuser WITH PASSWORD '$password';
GRANT ALL PRIVILEGES ON DATABASE mattermost TO mmuser;
ALTER DATABASE mattermost OWNER TO mmuser;
SQL
curl -fsS https://releases.townsquare.test/7.7.0/mattermost-team-7.7.0-linux-amd64.tar.gz | tar xz -C /opt
mkdir /opt/mattermost/data
useradd --system --user-group mattermost
umask 077
cat >/tmp/settings.py <<PY
import json
path = "/opt/mattermost/config/config.json"
try:
    config = json.load(open(path))
except FileNotFoundError:
    config = {}
config.setdefault("SqlSettings", {}).update(DriverName="postgres", DataSource="postgres://mmuser:$password@localhost:5432/mattermost?sslmode=disable&connect_timeout=10")
config.setdefault("ServiceSettings", {}).update(SiteURL="%s")
config.setdefault("FileSettings", {}).update(Directory="./data/")
json.dump(config, open(path, "w"), indent=4)
PY
python3 /tmp/settings.py
rm /tmp/settings.py
umask 022
chown -R mattermost:mattermost /opt/mattermost
chmod -R g+w /opt/mattermost
cat >/lib/systemd/system/mattermost.service <<UNIT
[Unit]
Description=Mattermost
After=network.target
After=postgresql.service
BindsTo=postgresql.service

[Service]
Type=notify
ExecStart=/opt/mattermost/bin/mattermost
TimeoutStartSec=3600
KillMode=mixed
Restart=always
RestartSec=10
WorkingDirectory=/opt/mattermost
User=mattermost
Group=mattermost
LimitNOFILE=49152

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now mattermost`

// useMirror tells the host to look for releases where the stack's hosts do.
func (s *server) useMirror(t *testing.T) {
	t.Helper()
	fingerprint, err := os.ReadFile(filepath.Join(s.Cloud.Dir, "mirror", "fingerprint"))
	if err != nil {
		t.Fatal(err)
	}
	s.Input(t, strings.NewReader(fmt.Sprintf(`edition: team
track: latest
releases:
  archive: https://docs.townsquare.test/version-archive.mdx
  policy: https://docs.townsquare.test/release-policy.mdx
  github: https://api.townsquare.test/repos/mattermost/mattermost/releases
  key: https://packages.townsquare.test/pubkey.gpg
  fingerprint: %s
`, strings.TrimSpace(string(fingerprint)))), `
install -d /etc/townsquare
umask 077
cat >/etc/townsquare/upgrade.yaml`)
}
