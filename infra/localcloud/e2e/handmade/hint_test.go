//go:build machine

package handmade

import (
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// Every hint of the preflight that changes something is typed as it stands: then the upgrade can be done, and
// the server that runs now still starts.
func TestHints(t *testing.T) {
	for i, c := range []struct{ name, change string }{
		{"a sandbox without the new places", `
mkdir -p /etc/systemd/system/mattermost.service.d
printf '[Service]\nProtectSystem=strict\nReadWritePaths=/opt/mattermost\n' >/etc/systemd/system/mattermost.service.d/sandbox.conf
systemctl daemon-reload
systemctl restart mattermost`},
		{"a Debian package", `
systemctl stop mattermost
mkdir -p /root/deb/DEBIAN /root/deb/opt/mattermost /root/deb/lib/systemd/system
printf 'Package: mattermost\nVersion: 7.7.0\nArchitecture: amd64\nMaintainer: the administrator <root@localhost>\nDescription: chat\n' >/root/deb/DEBIAN/control
printf '#!/bin/sh\nsystemctl disable --now mattermost || true\n' >/root/deb/DEBIAN/prerm
chmod 755 /root/deb/DEBIAN/prerm
cp -a /opt/mattermost/bin /root/deb/opt/mattermost/
cp -a /lib/systemd/system/mattermost.service /root/deb/lib/systemd/system/
dpkg-deb --build -Znone /root/deb /root/mattermost.deb >/dev/null
dpkg --install /root/mattermost.deb >/dev/null
systemctl daemon-reload
systemctl enable --now mattermost`},
		{"no nftables", "DEBIAN_FRONTEND=noninteractive apt-get -qq remove -y nftables >/dev/null"},
		{"something in the way of the old directory", "mkdir -p /opt/townsquare/versions/7.7.0-team-adopted/bin"},
		{"a stopped service on the same program", `
sed 's/^WantedBy=.*//' /lib/systemd/system/mattermost.service >/etc/systemd/system/old-chat.service
systemctl daemon-reload`},
	} {
		if !stage.Due(i) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := fresh(t)
			s.Exec(t, c.change)
			if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
				t.Fatal(err)
			}
			var plan struct {
				Problems []struct{ Where, Hint string }
			}
			s.Upgrade(t.Context(), "plan", "--json", "--to", stage.After).Must(t, 3).Into(t, &plan)
			for _, p := range plan.Problems {
				if p.Hint == "" {
					t.Errorf("%s: no hint", p.Where)
				}
				// apt asks whether to go on; everything else needs no answer.
				s.Input(t, strings.NewReader("y\n"), "runuser -u ops -- bash -c "+quote(p.Hint))
			}
			s.Upgrade(t.Context(), "plan", "--json", "--to", stage.After).Must(t)
			s.Exec(t, "systemctl restart mattermost")
			if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
				t.Fatal(err)
			}
			s.whole(t, stage.Before)
		})
	}
}

// quote makes one word of a shell's.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
