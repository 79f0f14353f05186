//go:build machine

package safety

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// installFountain gives the server a plugin that runs on 7.7 and refuses 9.10, and waits until it runs.
func installFountain(t *testing.T, s *stage.Server) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "fountain")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join(square.Root(), "infra/localcloud/tools/mattermost-9.10.0"), "-o", program, "./fountain")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	file, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s.Input(t, file, `
dir=/var/lib/mattermost/plugins/org.townsquare.fountain
mkdir -p $dir/server
cat >$dir/server/fountain
chmod 755 $dir/server/fountain
echo '{"id": "org.townsquare.fountain", "name": "Fountain", "version": "1.0.0", "server": {"executables": {"linux-amd64": "server/fountain"}}}' >$dir/plugin.json
chown -R mattermost: $dir
systemctl stop mattermost
python3 - <<'END'
import json
path = "/var/lib/mattermost/config/config.json"
config = json.load(open(path))
config["PluginSettings"]["PluginStates"]["org.townsquare.fountain"] = {"Enable": True}
text = json.dumps(config, indent=4)
open(path, "w").write(text)
END
systemctl start mattermost`)
	runsFountain(t, s)
}

// runsFountain waits until the plugin runs.
func runsFountain(t *testing.T, s *stage.Server) {
	t.Helper()
	stage.Until(t, stage.Patience, func() error {
		_, err := s.Machine.Exec(t.Context(), "pgrep", "-f", "org.townsquare.fountain")
		return err
	})
}

// exchangesPlugins makes every 9.10 exchange the plugin for a newer one when it starts, as a release
// does that ships one: the old server cannot run it.
const exchangesPlugins = `cat >/usr/local/bin/exchange-plugins <<'END'
#!/bin/sh
case "$(readlink /opt/mattermost)" in *9.10*) ;; *) exit 0 ;; esac
cd /var/lib/mattermost/plugins || exit
cp -r org.townsquare.fountain .newer
sed -i 's/"1.0.0"/"2.0.0", "min_server_version": "9.0.0"/' .newer/plugin.json
rm -r org.townsquare.fountain
mv .newer org.townsquare.fountain
echo newer >../client-plugins/newer
END
chmod 755 /usr/local/bin/exchange-plugins
mkdir -p /etc/systemd/system/mattermost.service.d
printf '[Service]\nExecStartPre=/usr/local/bin/exchange-plugins\n' >/etc/systemd/system/mattermost.service.d/exchange.conf
systemctl daemon-reload`

// A plugin that does not survive the upgrade is noticed after the opening, when people have written
// already: the old version comes back with the plugin as it was, and with all that they wrote. What
// only the newer version can hold is kept aside, and named.
func TestPluginThatIsLost(t *testing.T) {
	s := fresh(t)
	installFountain(t, s)
	s.Exec(t, exchangesPlugins)
	var got struct {
		stage.Report
		Warnings []string `json:"warnings"`
	}
	s.Watched(t, func() {
		s.Hold(t, stage.Point{Step: "watch"}, func(*stage.Process, int) {
			s.Exec(t, `grep -q 2.0.0 /var/lib/mattermost/plugins/org.townsquare.fountain/plugin.json && cd / &&
psql -Xq -h /var/run/postgresql -U mattermost -d mattermost -c "insert into channelbookmarks (id, ownerid, channelid) values ('a', 'b', 'c')"`)
		}, "apply", "--json", "--yes", "--watch", "2s", "--to", stage.After).Wait().Must(t, 4).Into(t, &got)
		if got.Outcome != "rolled-back" || !strings.Contains(got.Error, "org.townsquare.fountain") {
			t.Errorf("report is %+v", got)
		}
	})
	s.Serves(t, stage.Before)
	runsFountain(t, s)
	s.Exec(t, `cd /var/lib/mattermost && grep 1.0.0 plugins/org.townsquare.fountain/plugin.json && ! ls client-plugins/newer &&
grep 2.0.0 .townsquare-plugins-*/replaced/plugins/org.townsquare.fountain/plugin.json && ! ls -d .townsquare-plugins-*/plugins`)
	if !slices.Contains(s.Bad(t), stage.After) {
		t.Errorf("not on the skip list: %v", s.Bad(t))
	}
	if said := strings.Join(got.Warnings, "\n"); !strings.Contains(said, "only 9.10.0 knows it: 1 channelbookmark; the database with it is kept as mattermost_checkpoint_") ||
		strings.Contains(said, "serves again without plugin") {
		t.Errorf("it warns:\n%s", said)
	}
	if kept := s.Exec(t, `runuser -u postgres -- psql -XAtq -d "$(runuser -u postgres -- psql -XAtqc "select datname from pg_database where datname like 'mattermost_checkpoint%'")" -c "select count(*) from channelbookmarks"`); kept != "1" {
		t.Errorf("kept are %q bookmarks", kept)
	}
}

// Requests that fail in a way that they never did before bring the old version back, though the
// server calls itself healthy: here a table is missing, as a migration gone wrong would leave it.
func TestNewKindOfError(t *testing.T) {
	s := fresh(t)
	r := s.Hold(t, stage.Point{Step: "watch"}, func(*stage.Process, int) {
		s.Input(t, strings.NewReader(`header = "Authorization: Bearer `+s.People.Token+`"`), `
cd /
psql -Xq -h /var/run/postgresql -U mattermost -d mattermost -c 'alter table emoji rename to gone'
config=$(cat)
for _ in 1 2 3 4; do curl -s -o /dev/null --config - http://127.0.0.1:8065/api/v4/emoji <<<"$config"; done`)
	}, "apply", "--yes", "--watch", "5s", "--to", stage.After).Wait()
	s.Exec(t, `psql -Xq -h /var/run/postgresql -U mattermost -d mattermost -c 'alter table gone rename to emoji'`)
	if r.Must(t, 4); !strings.Contains(r.Stdout, "requests failed in a way that they did not before") {
		t.Errorf("it says:\n%s", r)
	}
	s.Serves(t, stage.Before)
}
