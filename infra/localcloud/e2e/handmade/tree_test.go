//go:build machine

package handmade

import (
	"testing"

	"townsquare/infra/localcloud/stage"
)

// second makes another service on the same program, with a database and a port of its own.
var second = `
cd /tmp
systemctl stop mattermost
runuser -u postgres -- createdb -T mattermost -O mmuser second
umask 077
` + dataSource("second") + ` >/etc/second.conf
echo MM_SERVICESETTINGS_LISTENADDRESS=:8067 >>/etc/second.conf
sed 's/^User=/EnvironmentFile=\/etc\/second.conf\nUser=/' /lib/systemd/system/mattermost.service >/etc/systemd/system/second.service
chmod 644 /etc/systemd/system/second.service
systemctl daemon-reload
systemctl start second
until curl -fs http://localhost:8067/api/v4/system/ping >/dev/null; do sleep 0.2; done
`

// Two services run the same program: an upgrade would leave one of them with a program that changed
// under it, and a database that nothing saved.
func TestTwoServicesOnOneTree(t *testing.T) {
	s := fresh(t)
	s.Exec(t, second+"systemctl start mattermost")
	if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
		t.Fatal(err)
	}
	s.refused(t, "second.service")
	s.Serves(t, stage.Before)
}

// The service of the guide is off, and another one serves from the same tree: what was off stays off.
func TestServiceThatIsOff(t *testing.T) {
	s := fresh(t)
	s.Exec(t, second+"systemctl disable mattermost")
	s.refused(t, "second.service")
	if state := s.Exec(t, "systemctl is-active mattermost || true; systemctl is-active second"); state != "inactive\nactive" {
		t.Errorf("the services are %q", state)
	}
}
