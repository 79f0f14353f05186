//go:build machine

package handmade

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/stage"
)

// guided is the server that every test here begins with: the vendor's guide, people on it, and
// things of the administrator's. It is made once and rewound for each test.
type guided struct {
	once   sync.Once
	err    error
	dir    string // the snapshot
	server *stage.Server
	things string // what the host says of the administrator's things
}

var guideServer guided

// server is one made by hand, by the vendor's guide for Debian.
type server struct {
	*stage.Server
	things string
}

// fresh is the server as the guide and its people left it.
func fresh(t *testing.T) *server {
	t.Helper()
	guideServer.once.Do(func() { guideServer.err = guideServer.make(context.Background()) })
	if guideServer.err != nil {
		t.Fatal(guideServer.err)
	}
	s := &server{Server: guideServer.server, things: guideServer.things}
	ctx, m := t.Context(), s.Machine
	square.Localcloud(ctx, "mirror", "fault", "--clear").Must(t)
	square.Localcloud(ctx, "mirror", "publish", "--only", stage.Before, stage.After, "--esr", "9.10").Must(t)
	for _, step := range []func() error{
		func() error { return m.Kill(ctx) },
		func() error { return m.Rewind(ctx, guideServer.dir) },
		func() error { return m.Start(ctx) },
		func() error { return s.Await(ctx, stage.Patience, stage.Before) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Account())
		}
	})
	return s
}

// make builds the server and takes the snapshot.
func (g *guided) make(ctx context.Context) error {
	cloud, err := square.Cloud()
	if err != nil {
		return err
	}
	hostKey, hostPublic, err := key()
	if err != nil {
		return err
	}
	opsKey, opsPublic, err := key()
	if err != nil {
		return err
	}
	identity := filepath.Join(cloud.Dir, "guide_ed25519")
	if err := os.WriteFile(identity, []byte(opsKey), 0o600); err != nil {
		return err
	}
	m, err := machine.Create(ctx, cloud, machine.Spec{Name: "guide", UserData: userData(hostKey, hostPublic, opsPublic)})
	if err != nil {
		return err
	}
	if err := m.Start(ctx); err != nil {
		return err
	}
	if err := m.WaitReady(ctx); err != nil {
		return err
	}
	address := m.Spec.Address.String()
	visitor, err := stage.Visitor(cloud, time.Minute)
	if err != nil {
		return err
	}
	g.server = &stage.Server{Stage: square, Cloud: cloud, Machine: m, Visitor: visitor, URL: "http://" + address + ":8065",
		Target: []string{"--host", "ops@" + address, "--host-key", hostPublic, "--identity", identity}}
	fingerprint, err := os.ReadFile(filepath.Join(cloud.Dir, "mirror", "fingerprint"))
	if err != nil {
		return err
	}
	for _, step := range []struct{ input, script string }{
		{rand.Text(), fmt.Sprintf(guide, g.server.URL)},
		{fmt.Sprintf(policy, strings.TrimSpace(string(fingerprint))), "install -d /etc/townsquare; umask 077; cat >/etc/townsquare/upgrade.yaml"},
	} {
		if out, err := m.ExecInput(ctx, strings.NewReader(step.input), "bash", "-euo", "pipefail", "-c", step.script); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	if err := g.server.Await(ctx, stage.Patience, stage.Before); err != nil {
		return err
	}
	if g.server.People, err = community.Fill(ctx, g.server.Client(), nil); err != nil {
		return err
	}
	if out, err := m.Exec(ctx, "bash", "-euo", "pipefail", "-c", things); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if g.things, err = m.Exec(ctx, "bash", "-euo", "pipefail", "-c", listed); err != nil {
		return err
	}
	if err := m.PowerOff(ctx); err != nil {
		return err
	}
	g.dir = filepath.Join(cloud.Dir, "scenes", "guide")
	return m.Snapshot(ctx, g.dir)
}

// whole wants version to serve with all content and the administrator's things, and the host to agree.
func (s *server) whole(t *testing.T, version string) {
	t.Helper()
	s.Serves(t, version)
	if is := s.Exec(t, listed); is != strings.TrimSpace(s.things) {
		t.Errorf("the administrator's files changed:\n%s", cmp.Diff(s.things, is))
	}
	s.Upgrade(t.Context(), "status", "--json")
}

// things are files that no release ships: a folder under the install directory, and a plugin.
const things = `
install -d -o mattermost -g mattermost -m 750 /opt/mattermost/tls /opt/mattermost/plugins/org.townsquare.fountain
echo "not a real key" >/opt/mattermost/tls/site.key
echo '{"id": "org.townsquare.fountain", "name": "Fountain", "version": "1.0.0"}' >/opt/mattermost/plugins/org.townsquare.fountain/plugin.json
chown mattermost: /opt/mattermost/tls/site.key /opt/mattermost/plugins/org.townsquare.fountain/plugin.json
chmod 600 /opt/mattermost/tls/site.key
`

// listed prints them with owner, mode and content.
const listed = `
cd /opt/mattermost
for file in tls tls/site.key plugins/org.townsquare.fountain plugins/org.townsquare.fountain/plugin.json; do
	stat -L -c '%n %U:%G %a' $file
done
sha256sum tls/site.key plugins/org.townsquare.fountain/plugin.json`

// key makes an ed25519 key: the private half as a PEM file's text, the public one as one line.
func key() (private, public string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", err
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		return "", "", err
	}
	line, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))), nil
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

// policy has the server look for releases where the stack's servers do.
const policy = `edition: team
track: latest
releases:
  archive: https://docs.townsquare.test/version-archive.mdx
  policy: https://docs.townsquare.test/release-policy.mdx
  github: https://api.townsquare.test/repos/mattermost/mattermost/releases
  key: https://packages.townsquare.test/pubkey.gpg
  fingerprint: %s
`
