//go:build machine

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/stage"
)

// The releases of the journey, as the mirror has them.
const (
	before = stage.Before
	after  = stage.After
	patch  = stage.Patch
)

// TestServer is one server's life. The steps build on each other, so that each costs seconds
// instead of a server; those that a later one cannot do without end the test.
func TestServer(t *testing.T) {
	s := provision(t)
	need := func(step string, do func(*testing.T)) {
		t.Helper()
		if !t.Run(step, do) {
			t.FailNow()
		}
	}
	need("a host that still boots is waited for", s.booting)
	t.Run("the host is as promised", s.host)
	need("first install", s.install)
	need("people arrive", s.fill)
	t.Run("the audit log knows visitors by their address", s.addresses)
	t.Run("pulumi up again changes nothing", s.upAgain)
	t.Run("apply again changes nothing", func(t *testing.T) { s.nothing(t, before) })
	t.Run("check and plan", s.checkAndPlan)
	need("upgrade while the connection is cut", s.cut)
	t.Run("apply again changes nothing", func(t *testing.T) { s.nothing(t, after) })
	t.Run("the server is rebuilt", func(t *testing.T) { s.rebuilt(t, after) })
	t.Run("the stack's settings change", func(t *testing.T) { s.settings(t, after) })
	t.Run("patch without migrations", s.patch)
	t.Run("the server is resized", s.resized)
	t.Run("no secret is anywhere", s.noSecrets)
	t.Run("pulumi destroy leaves nothing", s.destroy)
}

func (s *server) booting(t *testing.T) {
	r := s.Upgrade(t.Context(), "status", "--json").Must(t, 0, 13)
	if r.Took > 2*time.Second && !strings.Contains(r.Stderr, "boot") {
		t.Errorf("status waited %v without a word why:\n%s", r.Took, r)
	}
	s.Upgrade(t.Context(), "plan", "--json", "--to", before).Must(t)
}

func (s *server) install(t *testing.T) {
	got := s.Apply(t, before, "2s")
	if got.From != "" || got.To != before || got.Outcome != "done" {
		t.Errorf("report is %+v", got)
	}
	s.Serves(t, before)
}

// keepsakes are files that no release ships and that people put on a server by hand: a folder of
// their own under the install directory, and a plugin. The vendor's guide deletes the first.
const keepsakes = `
install -d -o mattermost -g mattermost -m 750 /opt/mattermost/tls /var/lib/mattermost/plugins/org.townsquare.fountain
echo "not a real key" >/opt/mattermost/tls/site.key
chown mattermost: /opt/mattermost/tls/site.key
chmod 600 /opt/mattermost/tls/site.key
echo '{"id": "org.townsquare.fountain", "name": "Fountain", "version": "1.0.0"}' >/var/lib/mattermost/plugins/org.townsquare.fountain/plugin.json
chown mattermost: /var/lib/mattermost/plugins/org.townsquare.fountain/plugin.json
`

// kept lists the keepsakes with owner, mode and content.
const kept = `
cd /opt/mattermost
for file in tls tls/site.key plugins/org.townsquare.fountain plugins/org.townsquare.fountain/plugin.json; do
	stat -L -c '%n %U:%G %a' $file
done
sha256sum tls/site.key plugins/org.townsquare.fountain/plugin.json`

func (s *server) fill(t *testing.T) {
	var err error
	if s.People, err = community.Fill(t.Context(), s.Client(), nil); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, keepsakes)
	s.kept = s.Exec(t, kept)
	s.Serves(t, before)
}

func (s *server) upAgain(t *testing.T) {
	r := localcloud(t, "pulumi", "up", "--stack", "dev").Must(t)
	for _, change := range []string{"created", "updated", "replaced", "deleted"} {
		if strings.Contains(r.Stdout, " "+change+"\n") {
			t.Errorf("something was %s:\n%s", change, r)
		}
	}
}

// nothing wants an apply that is up to date to leave every file and process alone.
func (s *server) nothing(t *testing.T, version string) {
	const traces = `
systemctl show -p MainPID -p ActiveEnterTimestamp mattermost caddy
find /opt/mattermost /etc/townsquare /opt/townsquare -xdev -printf '%p %i %T@ %C@\n' | sort | sha256sum`
	was := s.Exec(t, traces)
	got := s.Apply(t, version, "2s")
	if !got.UpToDate || got.Downtime != 0 {
		t.Errorf("report is %+v", got)
	}
	if is := s.Exec(t, traces); is != was {
		t.Errorf("something changed:\nbefore:\n%s\nafter:\n%s", was, is)
	}
}

func (s *server) checkAndPlan(t *testing.T) {
	var check struct{ Current, Target string }
	s.Upgrade(t.Context(), "check", "--json").Must(t, 10).Into(t, &check)
	if check.Current != before || check.Target != after {
		t.Errorf("check says %+v", check)
	}
	pid := s.Exec(t, "systemctl show -p MainPID mattermost")
	s.Upgrade(t.Context(), "plan", "--json", "--to", after).Must(t)
	if is := s.Exec(t, "systemctl show -p MainPID mattermost"); is != pid {
		t.Errorf("plan restarted the service")
	}
}

func (s *server) patch(t *testing.T) {
	localcloud(t, "mirror", "publish", patch).Must(t)
	seen := s.Watched(t, func() {
		if got := s.Apply(t, patch, "2s"); got.From != after || got.Outcome != "done" {
			t.Errorf("report is %+v", got)
		}
	})
	if seen.Failed > 0 {
		t.Errorf("%d visitors of %d saw an error: %v", seen.Failed, seen.Asked, seen.Wrong)
	}
	s.whole(t, patch)
}

// whole wants version to serve with all content, every keepsake, and the host's own word for it.
func (s *server) whole(t *testing.T, version string) {
	t.Helper()
	s.Serves(t, version)
	if is := s.Exec(t, kept); is != s.kept {
		t.Errorf("files that people put there changed:\nbefore:\n%s\nafter:\n%s", s.kept, is)
	}
	s.Upgrade(t.Context(), "status", "--json").Must(t, 0, 13)
}

// destroy wants no machine, no volume and no name to be left.
func (s *server) destroy(t *testing.T) {
	destroy(t)
	all, err := machine.List(s.Cloud)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) > 0 {
		t.Errorf("%d machines are left", len(all))
	}
	volumes, err := filepath.Glob(filepath.Join(s.Cloud.Dir, "volumes", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(volumes) > 0 {
		t.Errorf("volumes are left: %v", volumes)
	}
}

// TestManagedDatabase has the database on a cluster in the private network, reached over TLS that is
// verified up to the cluster's own authority.
func TestManagedDatabase(t *testing.T) {
	s := provision(t, "--set", "townsquare:database=managed", "--set", "townsquare:databaseVolumeGB=")
	if s.Outputs.DatabaseMode != "managed" {
		t.Fatalf("the stack's database is %q", s.Outputs.DatabaseMode)
	}
	s.install(t)
	s.fill(t)
	// A copy of the database is made there, and tried on this host, both ways.
	if r := s.Upgrade(t.Context(), "rehearse", "--to", after).Must(t); !strings.Contains(r.Stdout, "works here") {
		t.Errorf("it says:\n%s", r)
	}
	s.Watched(t, func() {
		if got := s.Apply(t, after, "2s"); got.From != before || got.Outcome != "done" {
			t.Errorf("report is %+v", got)
		}
	})
	s.whole(t, after)
	s.nothing(t, after)
	s.Watched(t, func() {
		r := s.Upgrade(t.Context(), "rollback", "--way", "downgrade", "--yes", "--watch", "2s").Must(t)
		if strings.Contains(r.Stdout+r.Stderr, "cannot be tried") {
			t.Errorf("%s was not tried on a copy first:\n%s", before, r)
		}
	})
	s.whole(t, before)
	s.noSecrets(t)
}
