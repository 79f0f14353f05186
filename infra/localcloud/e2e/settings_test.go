//go:build machine

package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"townsquare/infra/localcloud/stage"
)

// growing makes resize2fs unmount the file system where this computer's containers may not grow a mounted
// one (CAP_SYS_RESOURCE).
const growing = `install -m 755 /dev/stdin /usr/local/sbin/resize2fs <<'EOF'
#!/bin/bash
set -eux
/usr/sbin/resize2fs "$@" && exit
at=$(findmnt -no TARGET "$1")
running=$(systemctl list-units --plain --no-legend --state=active mattermost.service 'postgresql@*.service' | awk '{print $1}')
systemctl stop $running "$(systemd-escape --path --suffix=mount "$at")"
e2fsck -fp "$1" || [ $? -le 1 ]
/usr/sbin/resize2fs "$1"
systemctl start "$(systemd-escape --path --suffix=mount "$at")" $running
EOF`

// settings changes what a server must follow while it is in use: its name, its volumes' sizes, and its
// operators' keys. The volumes' file systems are small until then, as on DigitalOcean.
func (s *server) settings(t *testing.T, version string) {
	const here = `
grep -o 'repository: .*' /etc/townsquare/upgrade.yaml
hostname`
	was := s.Exec(t, here)
	former, visitors := s.URL, s.Exec(t, "grep -c . /home/ops/.ssh/authorized_keys")
	own, colleague := operator(t, s), someKey(t)
	s.set = []string{"--set", "townsquare:host=talk", "--set", "townsquare:volumeGB=11", "--set", "townsquare:databaseVolumeGB=12"}
	keys, err := json.Marshal([]string{own, colleague})
	if err != nil {
		t.Fatal(err)
	}
	localcloud(t, append([]string{"pulumi", "up", "--stack", "dev", "--set", "townsquare:sshKeys=" + string(keys)}, s.set...)...).Must(t)

	var status struct{ Attention []struct{ What, Hint string } }
	s.Upgrade(t.Context(), "status", "--json").Must(t, 13).Into(t, &status)
	for _, want := range []string{"the address https://chat.townsquare.test is still in use", "the file system at /var/lib/mattermost has 10 GiB of its volume's 11 GiB",
		"the file system at /var/lib/postgresql has 10 GiB of its volume's 12 GiB", "is missing in /home/ops/.ssh/authorized_keys", "/etc/caddy/Caddyfile differs"} {
		found := false
		for _, one := range status.Attention {
			found = found || strings.Contains(one.What, want) && strings.HasPrefix(one.Hint, "upgrade repair --stack dev")
		}
		if !found {
			t.Errorf("status does not name it, with what to type: %s\n%+v", want, status.Attention)
		}
	}

	s.Exec(t, growing)
	// The next run brings all of it, though there is no newer version.
	if got := s.Apply(t, version, "10s"); !got.UpToDate {
		t.Errorf("report is %+v", got)
	}
	s.URL = "https://talk.townsquare.test"
	s.Serves(t, version) // with a certificate that is verified
	if is := s.Exec(t, here); is != was {
		t.Errorf("before:\n%s\nafter:\n%s", was, is)
	}
	got := s.Exec(t, `
curl -s https://talk.townsquare.test/api/v4/config/client?format=old | grep -o '"SiteURL":"[^"]*"'
curl -s --resolve chat.townsquare.test:443:127.0.0.1 -o /dev/null -w '%{http_code} %{redirect_url}\n' https://chat.townsquare.test/login?x=1
for at in /var/lib/mattermost /var/lib/postgresql; do dumpe2fs -h "$(findmnt -no SOURCE $at)" 2>/dev/null | awk '/^Block count/ {print $3 / 262144}'; done
grep -c . /home/ops/.ssh/authorized_keys`)
	if want := `"SiteURL":"https://talk.townsquare.test"` + "\n307 https://talk.townsquare.test/login?x=1\n11\n12\n2"; got != want || visitors != "1" {
		t.Errorf("after the run:\n%s\nwant:\n%s", got, want)
	}
	localcloud(t, append([]string{"pulumi", "up", "--stack", "dev"}, s.set...)...).Must(t)
	if r := s.Upgrade(t.Context(), "repair", "--yes").Must(t); !strings.Contains(r.Stdout, "the stack does not have it any more") {
		t.Errorf("it says:\n%s", r)
	}
	if now := s.Exec(t, "cat /home/ops/.ssh/authorized_keys"); now != own {
		t.Errorf("these keys open the server:\n%s", now)
	}
	s.Upgrade(t.Context(), "repair", "--show").Must(t)
	t.Logf("from %s to %s", former, s.URL)
}

func operator(t *testing.T, s *server) string {
	t.Helper()
	private, err := os.ReadFile(stage.Identity(s.Cloud))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " ops@" + s.Cloud.Name
}

func someKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " colleague@office"
}
