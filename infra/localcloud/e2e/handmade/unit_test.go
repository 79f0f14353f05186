//go:build machine

package handmade

import (
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// A unit that starts the server by a shell and takes its data source, in key=value words, from a
// pattern of files. It is stopped when the upgrade begins, and is stopped when it is over.
func TestShellAndPatternAndOff(t *testing.T) {
	s := fresh(t)
	s.Exec(t, `
systemctl stop mattermost
mkdir -p /etc/mm.d /etc/systemd/system/mattermost.service.d
python3 - <<PY
import json, urllib.parse
path = "/opt/mattermost/config/config.json"
config = json.load(open(path))
url = urllib.parse.urlsplit(config["SqlSettings"]["DataSource"])
open("/etc/mm.d/database.env", "w").write("MM_SQLSETTINGS_DATASOURCE=host=%s user=%s password='%s' dbname=mattermost sslmode=disable\n" % (url.hostname, url.username, url.password))
config["SqlSettings"]["DataSource"] = "postgres://nowhere.invalid/none"
json.dump(config, open(path, "w"), indent=4)
PY
chmod 600 /etc/mm.d/database.env
cat >/etc/systemd/system/mattermost.service.d/shell.conf <<UNIT
[Service]
EnvironmentFile=/etc/mm.d/*.env
ExecStart=
ExecStart=/bin/sh -c 'exec /opt/mattermost/bin/mattermost server'
UNIT
systemctl daemon-reload
systemctl start mattermost`)
	if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
		t.Fatal(err)
	}
	s.Upgrade(t.Context(), "plan", "--json", "--to", stage.After).Must(t)
	s.Exec(t, "systemctl stop mattermost")
	if got := s.Apply(t, stage.After, "2s"); got.Outcome != "done" {
		t.Errorf("report is %+v", got)
	}
	if state := s.Exec(t, "systemctl is-active mattermost || true"); state != "inactive" {
		t.Errorf("it was stopped, and is %s", state)
	}
	s.Exec(t, "systemctl start mattermost")
	if err := s.Await(t.Context(), stage.Patience, stage.After); err != nil {
		t.Fatal(err)
	}
	s.whole(t, stage.After)
}

// A configuration that was edited and is not in use yet names another database than the one that serves.
func TestEditedConfiguration(t *testing.T) {
	s := fresh(t)
	s.Exec(t, `
cd /tmp
systemctl stop mattermost
runuser -u postgres -- createdb -T mattermost -O mmuser next
systemctl start mattermost`)
	if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, `sed -i 's#/mattermost?#/next?#' /opt/mattermost/config/config.json`)
	s.refused(t, "database next on", "it uses mattermost", "config.json was changed at")
	r := s.Upgrade(t.Context(), "status", "--json")
	if !strings.Contains(r.Stdout, "it uses mattermost") {
		t.Errorf("status says\n%s", r)
	}
	s.Exec(t, `sed -i 's#/next?#/mattermost?#' /opt/mattermost/config/config.json`)
	s.Apply(t, stage.After, "2s")
	s.Serves(t, stage.After)
}
