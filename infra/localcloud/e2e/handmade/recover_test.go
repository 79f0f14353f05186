//go:build machine

package handmade

import (
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// What an operator repaired after a rollback that failed is not undone: not by recover, not by a reboot,
// not by the next upgrade.
func TestRepairedByHand(t *testing.T) {
	for i, c := range []struct {
		name string
		next func(*testing.T, *server)
	}{
		{"recover", func(t *testing.T, s *server) { s.Upgrade(t.Context(), "recover", "--json").Must(t) }},
		{"reboot", func(t *testing.T, s *server) { s.PowerOff(t); s.Start(t) }},
	} {
		if !stage.Due(i) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := fresh(t)
			// From the switch on no version starts, as where something else on the server is broken.
			s.Exec(t, `
mkdir -p /etc/systemd/system/mattermost.service.d
printf '[Service]\nExecStartPre=/bin/sh -c "test ! -L /opt/mattermost && test ! -e /var/tmp/broken || { touch /var/tmp/broken; exit 1; }"\n' >/etc/systemd/system/mattermost.service.d/broken.conf
sed -i 's/^RestartSec=.*/RestartSec=2/' /lib/systemd/system/mattermost.service
systemctl daemon-reload`)
			r := s.Upgrade(t.Context(), "apply", "--json", "--yes", "--watch", "2s", "--to", stage.After).Must(t, 5)
			if strings.Contains(r.Stdout+r.Stderr, "power cut") {
				t.Errorf("nothing lost power:\n%s", r)
			}
			s.Exec(t, `
rm /etc/systemd/system/mattermost.service.d/broken.conf
systemctl daemon-reload
python3 - <<PY
import json
path = "/opt/mattermost/config/config.json"
config = json.load(open(path))
config["PasswordSettings"]["MinimumLength"] = 11
json.dump(config, open(path, "w"), indent=4)
PY
systemctl reset-failed mattermost || true
systemctl start --no-block mattermost`)
			if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
				t.Fatal(err)
			}
			c.next(t, s)
			if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
				t.Fatal(err)
			}
			s.whole(t, stage.Before)
			if got := s.Exec(t, `grep -o '"MinimumLength": [0-9]*' /opt/mattermost/config/config.json`); got != `"MinimumLength": 11` {
				t.Errorf("the repaired configuration has %s", got)
			}
			if run := s.Record(t).Run; run != nil {
				t.Errorf("the run is still in the record: %v", run)
			}
			s.Upgrade(t.Context(), "apply", "--json", "--yes", "--watch", "2s", "--to", stage.After, "--retry-failed").Must(t)
			s.Serves(t, stage.After)
		})
	}
}

// A configuration that is a link is a link after a rollback, with its owner.
func TestConfigurationThatIsALink(t *testing.T) {
	s := fresh(t)
	s.Exec(t, `
install -d -o mattermost -g mattermost /etc/mm
systemctl stop mattermost
mv /opt/mattermost/config/config.json /etc/mm/config.json
ln -s /etc/mm/config.json /opt/mattermost/config/config.json
chown -h mattermost:mattermost /opt/mattermost/config/config.json
systemctl start mattermost`)
	if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
		t.Fatal(err)
	}
	const link = `stat -c '%F %U:%G %N' /opt/mattermost/config/config.json; stat -c '%F %U:%G %a' /etc/mm/config.json`
	was := s.Exec(t, link)
	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "migrate-exit").Must(t)
	s.Watched(t, func() { s.Apply(t, "9.10.7", "2s", 4) })
	s.whole(t, stage.Before)
	if is := s.Exec(t, link); is != was {
		t.Errorf("it was\n%s\nand is\n%s", was, is)
	}
}
