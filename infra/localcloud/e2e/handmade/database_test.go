//go:build machine

package handmade

import (
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// migrations prints the migration of each database beside its name.
const migrations = `cd /tmp; for name in $(runuser -u postgres -- psql -XAtqc "select datname from pg_database where not datistemplate and datname <> 'postgres' order by 1"); do
	echo "$name $(runuser -u postgres -- psql -XAtqd "$name" -c 'select max(version) from db_migrations')"
done`

// refused wants an apply to refuse before it changes anything, and to name what is in the way.
func (s *server) refused(t *testing.T, names ...string) {
	t.Helper()
	databases := s.Exec(t, migrations)
	r := s.Upgrade(t.Context(), "apply", "--json", "--yes", "--watch", "2s", "--to", stage.After).Must(t, 3)
	for _, name := range names {
		if !strings.Contains(r.Stdout, name) {
			t.Errorf("%s is not named:\n%s", name, r)
		}
	}
	if is := s.Exec(t, migrations); is != databases {
		t.Errorf("databases were %s\nand are %s", databases, is)
	}
}

// dataSource is a command that prints the service's data source, for another database, as a line for
// EnvironmentFile= and for a shell.
func dataSource(database string) string {
	return `python3 -c '
import json
source = json.load(open("/opt/mattermost/config/config.json"))["SqlSettings"]["DataSource"]
print("MM_SQLSETTINGS_DATASOURCE=\"%s\"" % source.replace("/mattermost?", "/` + database + `?"))'`
}

// A wrapper script gives the service another database than config.json names: a copy of the live one,
// which answers, and which is not what must be saved.
func TestDatabaseOfAWrapper(t *testing.T) {
	s := fresh(t)
	s.Exec(t, `
cd /tmp
systemctl stop mattermost
runuser -u postgres -- createdb -T mattermost -O mmuser production
umask 077
`+dataSource("production")+` >/etc/mattermost.conf
chown mattermost /etc/mattermost.conf
umask 022
cat >/opt/mattermost/run.sh <<'SCRIPT'
#!/bin/sh
. /etc/mattermost.conf
export MM_SQLSETTINGS_DATASOURCE
exec /opt/mattermost/bin/mattermost "$@"
SCRIPT
chmod 755 /opt/mattermost/run.sh
mkdir /etc/systemd/system/mattermost.service.d
printf '[Service]\nExecStart=\nExecStart=/opt/mattermost/run.sh server\n' >/etc/systemd/system/mattermost.service.d/run.conf
systemctl daemon-reload
systemctl start mattermost`)
	s.refused(t, "production", "mattermost.service")
	s.Serves(t, stage.Before)
}

// The service finds its configuration in its working directory; the one in the install directory is
// old and names a database of long ago.
func TestConfigurationOfTheWorkingDirectory(t *testing.T) {
	s := fresh(t)
	s.Exec(t, `
cd /tmp
systemctl stop mattermost
runuser -u postgres -- createdb -T mattermost -O mmuser longago
install -d -o mattermost -g mattermost /srv/mm
cp -a /opt/mattermost/config /opt/mattermost/data /srv/mm/
sed -i 's#/mattermost?#/longago?#' /opt/mattermost/config/config.json
mkdir /etc/systemd/system/mattermost.service.d
printf '[Service]\nWorkingDirectory=/srv/mm\n' >/etc/systemd/system/mattermost.service.d/directory.conf
systemctl daemon-reload
systemctl start mattermost`)
	if err := s.Await(t.Context(), stage.Patience, stage.Before); err != nil {
		t.Fatal(err)
	}
	s.Apply(t, stage.After, "2s")
	s.Serves(t, stage.After)
	if got := s.Exec(t, migrations); !strings.Contains(got, "longago 100") || !strings.Contains(got, "mattermost 121") || !strings.Contains(got, "mattermost_checkpoint_") {
		t.Errorf("the databases are\n%s", got)
	}
}

// What an administrator made in the schema does not keep a dump from going back, where the database
// cannot be copied.
func TestDumpBesideOtherObjects(t *testing.T) {
	s := fresh(t)
	s.Exec(t, `
cd /tmp
runuser -u postgres -- psql -XAtqd mattermost -v ON_ERROR_STOP=1 <<SQL
create text search configuration public.plain_words (copy = english);
create domain public.short as varchar(20);
create collation public.de (locale = 'C');
SQL
sed -i '1i local all postgres reject' /etc/postgresql/17/main/pg_hba.conf
systemctl reload postgresql`)
	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "migrate-exit").Must(t)
	s.Watched(t, func() { s.Apply(t, "9.10.7", "2s", 4) })
	s.whole(t, stage.Before)
}
