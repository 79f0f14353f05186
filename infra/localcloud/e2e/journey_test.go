//go:build machine

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/machine"
)

// The releases of the journey, as the mirror has them.
const (
	before = "7.7.0"
	after  = "9.10.0"
	patch  = "9.10.1" // the same code as after, stamped anew: no migrations
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
	for _, f := range damaged {
		t.Run("download is "+f.name, func(t *testing.T) { s.damaged(t, f) })
	}
	for _, f := range broken {
		t.Run("new version "+f.name, func(t *testing.T) { s.broken(t, f) })
	}
	need("upgrade while the connection is cut", s.cut)
	t.Run("apply again changes nothing", func(t *testing.T) { s.nothing(t, after) })
	t.Run("patch without migrations", s.patch)
	t.Run("the machine is switched off and on", s.reboot)
	t.Run("the server is rebuilt", func(t *testing.T) { s.rebuilt(t, patch) })
	t.Run("no secret is anywhere", s.noSecrets)
	t.Run("pulumi destroy leaves nothing", s.destroy)
}

func (s *server) booting(t *testing.T) {
	r := s.upgrade(t.Context(), "status", "--json").must(t)
	if r.took > 2*time.Second && !strings.Contains(r.stderr, "boot") {
		t.Errorf("status waited %v without a word why:\n%s", r.took, r)
	}
	s.upgrade(t.Context(), "plan", "--json", "--to", before).must(t)
}

func (s *server) install(t *testing.T) {
	got := s.apply(t, before)
	if got.From != "" || got.To != before || got.Outcome != "done" {
		t.Errorf("report is %+v", got)
	}
	s.serves(t, before)
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
	if s.people, err = community.Fill(t.Context(), s.client(), nil); err != nil {
		t.Fatal(err)
	}
	s.shell(t, keepsakes)
	s.kept = s.shell(t, kept)
	s.serves(t, before)
}

func (s *server) upAgain(t *testing.T) {
	r := localcloud(t, "pulumi", "up", "--cloud", name, "--stack", "dev").must(t)
	for _, change := range []string{"created", "updated", "replaced", "deleted"} {
		if strings.Contains(r.stdout, " "+change+"\n") {
			t.Errorf("something was %s:\n%s", change, r)
		}
	}
}

// nothing wants an apply that is up to date to leave every file and process alone.
func (s *server) nothing(t *testing.T, version string) {
	const traces = `
systemctl show -p MainPID -p ActiveEnterTimestamp mattermost caddy
find /opt/mattermost /etc/townsquare /opt/townsquare -xdev -printf '%p %i %T@ %C@\n' | sort | sha256sum`
	was := s.shell(t, traces)
	got := s.apply(t, version)
	if !got.UpToDate || got.Downtime != 0 {
		t.Errorf("report is %+v", got)
	}
	if is := s.shell(t, traces); is != was {
		t.Errorf("something changed:\nbefore:\n%s\nafter:\n%s", was, is)
	}
}

func (s *server) checkAndPlan(t *testing.T) {
	var check struct{ Current, Target string }
	s.upgrade(t.Context(), "check", "--json").must(t, 10).into(t, &check)
	if check.Current != before || check.Target != after {
		t.Errorf("check says %+v", check)
	}
	pid := s.shell(t, "systemctl show -p MainPID mattermost")
	s.upgrade(t.Context(), "plan", "--json", "--to", after).must(t)
	if is := s.shell(t, "systemctl show -p MainPID mattermost"); is != pid {
		t.Errorf("plan restarted the service")
	}
}

func (s *server) patch(t *testing.T) {
	localcloud(t, "mirror", "publish", "--cloud", name, patch).must(t)
	seen := s.watched(t, func() {
		if got := s.apply(t, patch); got.From != after || got.Outcome != "done" {
			t.Errorf("report is %+v", got)
		}
	})
	if seen.Failed > 0 {
		t.Errorf("%d visitors of %d saw an error: %v", seen.Failed, seen.Asked, seen.Wrong)
	}
	s.whole(t, patch)
}

func (s *server) reboot(t *testing.T) {
	ctx := t.Context()
	if err := s.machine.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.machine.Start(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func() error {
		_, err := s.client().Version(ctx)
		return err
	})
	s.whole(t, patch)
}

// whole wants version to serve with all content, every keepsake, and the host's own word for it.
func (s *server) whole(t *testing.T, version string) {
	t.Helper()
	s.serves(t, version)
	if is := s.shell(t, kept); is != s.kept {
		t.Errorf("files that people put there changed:\nbefore:\n%s\nafter:\n%s", s.kept, is)
	}
	s.upgrade(t.Context(), "status", "--json").must(t)
}

// until tries again every 100 ms for at most limit.
func until(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v still: %v", limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// destroy wants no machine, no volume and no name to be left.
func (s *server) destroy(t *testing.T) {
	destroy(t)
	all, err := machine.List(s.cloud)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) > 0 {
		t.Errorf("%d machines are left", len(all))
	}
	volumes, err := filepath.Glob(filepath.Join(s.cloud.Dir, "volumes", "*"))
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
	if s.outputs.DatabaseMode != "managed" {
		t.Fatalf("the stack's database is %q", s.outputs.DatabaseMode)
	}
	s.install(t)
	s.fill(t)
	s.watched(t, func() {
		if got := s.apply(t, after); got.From != before || got.Outcome != "done" {
			t.Errorf("report is %+v", got)
		}
	})
	s.whole(t, after)
	s.nothing(t, after)
	s.noSecrets(t)
}
