//go:build machine

package safety

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/stage"
)

// keepsakes are what people added beside what Mattermost knows of.
const keepsakes = `
plugin=/var/lib/mattermost/plugins/org.townsquare.bench
mkdir -p $plugin /opt/mattermost/branding
echo '{"id": "org.townsquare.bench", "name": "Bench", "version": "1.0.0", "webapp": {"bundle_path": "bench.js"}}' >$plugin/plugin.json
head -c 300000 /dev/urandom >$plugin/bench.js
head -c 5000 /dev/urandom >/opt/mattermost/branding/seal.png
chown -R mattermost: $plugin`

// inventory are the sums of all files that a backup must bring back.
const inventory = `cd /var/lib/mattermost; find data plugins -type f -print0 | sort -z | xargs -0 sha256sum; sha256sum /opt/mattermost/branding/seal.png`

// backup is what a command about backups says with --json.
type backup struct {
	Outcome string `json:"outcome"`
	Backup  struct {
		ID    string `json:"id"`
		Posts int    `json:"posts"`
	} `json:"backup"`
}

func create(t *testing.T, s *stage.Server) backup {
	t.Helper()
	r := s.Upgrade(t.Context(), "backup", "create", "--json").Must(t)
	var made backup
	r.Into(t, &made)
	if made.Backup.ID == "" || made.Backup.Posts < len(s.People.Posts) {
		t.Fatalf("the backup says %+v; people wrote %d posts", made, len(s.People.Posts))
	}
	t.Logf("backup %s with %d posts took %v", made.Backup.ID, made.Backup.Posts, r.Took.Round(100*time.Millisecond))
	return made
}

// The whole server is lost, volumes and all: somebody deleted it in the control panel. Two commands
// make a new one, a third gives people everything back; and then it is a server like any other.
func TestServerLost(t *testing.T) {
	s := square.Fresh(t)
	s.Exec(t, keepsakes)
	had := s.Exec(t, inventory)
	create(t, s)

	t.Cleanup(func() { replaceMachine(t, s.Machine.Spec) })
	square.Localcloud(t.Context(), "lose", s.Machine.Spec.Name).Must(t)
	if _, err := machine.Open(s.Cloud, s.Machine.Spec.Name); err == nil {
		t.Fatal("the server is still there")
	}
	began := time.Now()
	square.Localcloud(t.Context(), "pulumi", "refresh", "--stack", "dev").Must(t)
	square.Localcloud(t.Context(), "pulumi", "up", "--stack", "dev").Must(t)
	var now stage.Outputs
	square.Localcloud(t.Context(), "pulumi", "outputs", "--stack", "dev", "--json").Must(t).Into(t, &now)
	if now.Address != s.Outputs.Address || now.SSHHostKey != s.Outputs.SSHHostKey {
		t.Errorf("the new server is not the old one's place: %+v, was %+v", now, s.Outputs)
	}
	server := time.Since(began)
	again, err := square.Server(now, s.People)
	if err != nil {
		t.Fatal(err)
	}
	restored := again.Upgrade(t.Context(), "restore", "latest", "--yes").Must(t)
	t.Logf("lost and back: pulumi %v, first boot and restore %v", server.Round(time.Second), restored.Took.Round(time.Second))

	again.Serves(t, stage.Before) // the old password, each post, each file byte for byte, over TLS
	if got := again.Exec(t, inventory); got != had {
		t.Errorf("files are\n%s\nwere\n%s", got, had)
	}
	again.Apply(t, stage.After, "2s")
	again.Serves(t, stage.After)
	if got := again.Exec(t, "sha256sum </opt/mattermost/branding/seal.png"); !strings.Contains(had, strings.Fields(got)[0]) {
		t.Error("what was added to the old version is not in the new one")
	}
	create(t, again)
}

// replaceMachine puts a machine like the lost one in the place of the new one, for the next test to
// be rewound on.
func replaceMachine(t *testing.T, spec machine.Spec) {
	ctx := context.Background()
	cloud, err := square.Cloud()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := machine.Open(cloud, spec.Name); err == nil {
		if err := m.Remove(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := machine.Create(ctx, cloud, spec); err != nil {
		t.Fatal(err)
	}
	state, err := cloud.State()
	if err != nil {
		t.Fatal(err)
	}
	for address := range state.Reserved {
		if err := cloud.Assign(netip.MustParseAddr(address), spec.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// A repository that does not answer, or does not open, is said so; nothing is begun, and nothing is
// made anew in its place.
func TestRepositoryAway(t *testing.T) {
	s := square.Fresh(t)
	made := create(t, s)
	const local = "/usr/local/lib/townsquare/upgrade backup "

	square.Localcloud(t.Context(), "spaces", "stop").Must(t)
	t.Cleanup(func() { square.Localcloud(context.Background(), "spaces", "start") })
	refused := s.Upgrade(t.Context(), "backup", "create").Must(t, 3)
	if !strings.Contains(refused.Stdout+refused.Stderr, "spaces.townsquare.test") {
		t.Errorf("it does not say what does not answer:\n%s", refused)
	}
	s.Serves(t, stage.Before)
	square.Localcloud(t.Context(), "spaces", "start").Must(t)

	// On the host itself: the operator's command would bring the right password along.
	wrong := s.Exec(t, `cd /etc/townsquare; cp -p backup.password /root/kept; echo another-password-than-theirs >backup.password
code=0; `+local+`create --local --unattended 2>&1 || code=$?
cp -p /root/kept backup.password; echo "code $code"`)
	if !strings.Contains(wrong, "code 3") || !strings.Contains(wrong, "password") {
		t.Errorf("with a wrong password:\n%s", wrong)
	}
	var list []struct {
		ID string `json:"id"`
	}
	s.Upgrade(t.Context(), "backup", "list", "--json").Must(t).Into(t, &list)
	if len(list) == 0 || list[0].ID != made.Backup.ID {
		t.Errorf("backups are %+v, the newest was %s", list, made.Backup.ID)
	}
}
