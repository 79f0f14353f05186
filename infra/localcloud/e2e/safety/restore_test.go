//go:build machine

package safety

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
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
	restored := again.Upgrade(t.Context(), "restore", "latest", "--yes", "--watch", "2s").Must(t)
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
	bucketLost(t, s)
}

// bucketLost deletes the bucket, and has the steps of docs/disaster-recovery.md make a whole backup in a
// new one, with the server told that the old one is gone.
func bucketLost(t *testing.T, s *stage.Server) {
	t.Helper()
	const bucket, known = "chat-townsquare-test-backups", "/var/lib/townsquare/backup/known.json"
	square.Localcloud(t.Context(), "lose", "--what", "bucket", bucket).Must(t)
	square.Localcloud(t.Context(), "pulumi", "refresh", "--stack", "dev").Must(t)
	square.Localcloud(t.Context(), "pulumi", "up", "--stack", "dev").Must(t)
	refused := s.Upgrade(t.Context(), "backup", "create").Must(t, 3)
	if said := refused.Stdout + refused.Stderr; !strings.Contains(said, "sudo rm "+known) {
		t.Errorf("it does not say how to begin a new repository:\n%s", refused)
	}
	s.Exec(t, "rm "+known)
	again := create(t, s)
	s.Upgrade(t.Context(), "backup", "verify").Must(t)
	var list []struct {
		ID string `json:"id"`
	}
	s.Upgrade(t.Context(), "backup", "list", "--json").Must(t).Into(t, &list)
	if len(list) != 1 || list[0].ID != again.Backup.ID {
		t.Errorf("backups in the new bucket are %+v, want %s alone", list, again.Backup.ID)
	}
	s.Serves(t, stage.Before)
}

// A second machine keeps the backups, known by its host key.
func TestSFTP(t *testing.T) {
	s := square.Fresh(t)
	vault := newVault(t, s)
	s.Target = []string{"--host", "ops@" + s.Outputs.Address, "--host-key", s.Outputs.SSHHostKey,
		"--identity", stage.Identity(s.Cloud), "--config", vault.config(t, s, vault.hostKey)}
	create(t, s)

	lost := s.People.Posts[0]
	s.Exec(t, `runuser -u mattermost -- psql -XAtq -h /var/run/postgresql -U mattermost mattermost -c "delete from posts where id = '`+lost.ID+`'"; rm -r /var/lib/mattermost/data/*`)
	restored := s.Upgrade(t.Context(), "restore", "latest", "--yes", "--replace", "--watch", "2s").Must(t)
	t.Logf("restored in %v", restored.Took.Round(100*time.Millisecond))
	s.Serves(t, stage.Before)

	// Whoever sits at the same address with another key gets nothing.
	s.Target[len(s.Target)-1] = vault.config(t, s, s.Outputs.SSHHostKey)
	refused := s.Upgrade(t.Context(), "backup", "create").Must(t, 3)
	if said := refused.Stdout + refused.Stderr; !strings.Contains(said, "backup.host_key") && !strings.Contains(said, "sudo ssh ") {
		t.Errorf("it does not say how to see what is wrong:\n%s", refused)
	}
}

// vault is a machine that only keeps backups.
type vault struct {
	machine *machine.Machine
	hostKey string
	key     string // private, of the server's way in
}

// newVault makes the machine; it is gone when the test ends.
func newVault(t *testing.T, s *stage.Server) *vault {
	t.Helper()
	key := s.Exec(t, `ssh-keygen -q -t ed25519 -N '' -C backup -f /root/vault; cat /root/vault.pub; cat /root/vault; rm /root/vault /root/vault.pub`)
	public, private, _ := strings.Cut(key, "\n")
	user, err := json.Marshal(map[string]any{"users": []any{map[string]any{"name": "keeper", "ssh_authorized_keys": []string{public}, "lock_passwd": true}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := machine.Create(t.Context(), s.Cloud, machine.Spec{Name: "vault", MemoryMB: 1024, UserData: "#cloud-config\n" + string(user) + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	hostKey, err := m.Exec(t.Context(), "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
	if err != nil {
		t.Fatal(err)
	}
	return &vault{machine: m, hostKey: strings.Join(strings.Fields(hostKey)[:2], " "), key: private + "\n"}
}

// config is an upgrade.yaml as on the server, but with backups in the vault, and the secrets beside
// it.
func (v *vault) config(t *testing.T, s *stage.Server, hostKey string) string {
	t.Helper()
	dir := t.TempDir()
	before, _, _ := strings.Cut(s.Exec(t, "cat /etc/townsquare/upgrade.yaml"), "backup:\n")
	settings := before + "backup:\n  repository: sftp:keeper@" + v.machine.Spec.Address.String() + ":/home/keeper/chat\n  host_key: " + hostKey + "\n"
	for name, text := range map[string]string{"upgrade.yaml": settings, "backup.password": "a password of the vault's own\n", "backup.key": v.key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "upgrade.yaml")
}
