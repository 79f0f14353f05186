package host

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/notify"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

var delivery = Delivery{
	Config:      &state.Config{Edition: "team", Track: "11.10", URL: "https://chat.example.org"},
	SiteURL:     "https://chat.example.org",
	DatabaseURL: "postgres://mattermost:p%40ss$word@db.example.org:25060/mattermost",
	AdminURL:    "postgres://townsquare:other@db.example.org:25060/defaultdb",
	CA:          "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
}

func TestDelivery(t *testing.T) {
	root := t.TempDir()
	changed, err := delivery.Write(root)
	if err != nil || len(changed) != 4 {
		t.Fatalf("changed %v, error %v", changed, err)
	}
	for path, mode := range map[string]os.FileMode{
		state.ConfigFile: 0o600, state.EnvFile: 0o600, state.AdminFile: 0o600, state.CAFile: 0o644,
	} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	env, err := os.ReadFile(filepath.Join(root, state.EnvFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`MM_SQLSETTINGS_DATASOURCE="postgres://mattermost:p%40ss\$word@db.example.org:25060/mattermost?sslmode=verify-full&sslrootcert=%2Fetc%2Ftownsquare%2Fdatabase-ca.pem"`,
		"MM_SERVICESETTINGS_SITEURL=https://chat.example.org\n",
		"MM_SERVICESETTINGS_LISTENADDRESS=127.0.0.1:8065\n",
	} {
		if !strings.Contains(string(env), part) {
			t.Errorf("no %s in\n%s", part, env)
		}
	}
	config, err := state.LoadConfig(filepath.Join(root, state.ConfigFile))
	if err != nil || config.Track != "11.10" {
		t.Errorf("read back %+v, %v", config, err)
	}
}

// Whoever takes notify out of a stack is told nothing any more; what someone wrote on the host stays.
func TestNotifyIsTakenBack(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, state.NotifyFile)
	write := func(c notify.Config, want int) {
		t.Helper()
		changed, err := Delivery{Notify: &c}.Write(root)
		if err != nil || len(changed) != want {
			t.Errorf("%+v: changed %v, %v", c, changed, err)
		}
	}
	write(notify.Config{}, 0)
	write(notify.Config{Email: []string{"ops@example.org"}}, 1)
	write(notify.Config{Late: time.Hour}, 1)
	write(notify.Config{}, 1)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there still: %v", err)
	}
	if err := os.WriteFile(path, []byte("email: [root@localhost]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(notify.Config{}, 0)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestDeliveryAgainTouchesNothing(t *testing.T) {
	root := t.TempDir()
	if _, err := delivery.Write(root); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, state.EnvFile)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := delivery.Write(root)
	if err != nil || len(changed) != 0 {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("the file was replaced")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if changed, err := delivery.Write(root); err != nil || len(changed) != 1 {
		t.Errorf("a secret that all may read stays so: %v, %v", changed, err)
	}
}

// A server that someone else set up keeps its own database and settings.
func TestEmptyDeliveryLeavesAllAsItIs(t *testing.T) {
	root := t.TempDir()
	if changed, err := (Delivery{}).Write(root); err != nil || len(changed) != 0 {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if entries, _ := os.ReadDir(root); len(entries) != 0 {
		t.Errorf("wrote %v", entries)
	}
}

func TestBadDatabaseURLIsNotShown(t *testing.T) {
	d := Delivery{CA: "x", DatabaseURL: "postgres://u:hunter22%zz@h/db"}
	if _, err := d.Write(t.TempDir()); err == nil || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("error is %v", err)
	}
}

// A stack that names another database must not take an installed server to it.
func TestAnotherDatabaseIsRefused(t *testing.T) {
	root := t.TempDir()
	if _, err := delivery.Write(root); err != nil {
		t.Fatal(err)
	}
	other := delivery
	other.DatabaseURL = "postgres:///mattermost?host=/var/run/postgresql&user=mattermost"
	other.SiteURL = "https://other.example.org"
	if _, err := other.Write(t.TempDir()); err != nil {
		t.Errorf("nothing is installed: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, installed), 0o755); err != nil {
		t.Fatal(err)
	}
	rotated := delivery
	rotated.DatabaseURL = strings.Replace(delivery.DatabaseURL, "p%40ss$word", "new", 1)
	if changed, err := rotated.Write(root); err != nil || len(changed) != 1 {
		t.Errorf("another password: changed %v, %v", changed, err)
	}
	changed, err := other.Write(root)
	var list problem.List
	if !errors.As(err, &list) || len(changed) != 0 || strings.Contains(err.Error(), "new@") {
		t.Errorf("changed %v, error %v", changed, err)
	}
	for _, part := range []string{"/var/run/postgresql:5432/mattermost", "db.example.org:25060/mattermost"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %s", err, part)
		}
	}
}

// A restore with --replace goes to the stack's new database where the old one is lost, and only there.
func TestReplaceLeavesALostDatabase(t *testing.T) {
	old, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	root, first := t.TempDir(), delivery
	first.DatabaseURL = "postgres://mattermost:secret@" + old.Addr().String() + "/mattermost"
	_, err = first.Write(root)
	if err := errors.Join(err, os.MkdirAll(filepath.Join(root, installed), 0o755)); err != nil {
		t.Fatal(err)
	}
	restore := delivery
	restore.Replace = true
	if changed, err := restore.Write(root); err == nil || len(changed) > 0 || !strings.Contains(err.Error(), "still answers") {
		t.Errorf("the old one answers: changed %v, %v", changed, err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	var list problem.List
	if _, err := delivery.Write(root); !errors.As(err, &list) || !strings.Contains(list[0].Hint, "upgrade restore latest --replace") {
		t.Errorf("without --replace: %v", err)
	}
	if changed, err := restore.Write(root); err != nil || !slices.Contains(changed, state.EnvFile) {
		t.Errorf("the old one is lost: changed %v, %v", changed, err)
	}
	if from, _, err := delivery.Moves(root); from != "" || err != nil {
		t.Errorf("afterwards: %s, %v", from, err)
	}
}

// A database on the server counts as there also while it is stopped.
func TestReplaceKeepsAStoppedDatabase(t *testing.T) {
	root, local := t.TempDir(), delivery
	local.DatabaseURL = "postgres:///mattermost?host=/nonexistent&user=mattermost"
	_, err := local.Write(root)
	if err := errors.Join(err, os.MkdirAll(filepath.Join(root, installed), 0o755)); err != nil {
		t.Fatal(err)
	}
	restore := delivery
	restore.Replace = true
	if changed, err := restore.Write(root); err == nil || len(changed) > 0 {
		t.Errorf("changed %v, %v", changed, err)
	}
}

// What only the host's own file says is not forgotten.
func TestDeliveryKeepsTheHostsOwnSettings(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, state.ConfigFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("track: latest\nskip: {9.9.1: hung}\nwatch: 90s\nmigrations: offline\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := Delivery{Config: &state.Config{Track: "esr"}}
	if _, err := d.Write(root); err != nil {
		t.Fatal(err)
	}
	c, err := state.LoadConfig(path)
	if err != nil || c.Track != "esr" || c.Skip["9.9.1"] != "hung" || c.Watch != 90*time.Second || c.Migrations != state.MigrateOffline {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestQuoteEnvComesBack(t *testing.T) {
	for _, v := range []string{"plain", `a"b`, `c:\d`, "$HOME", "`id`", `\"$`, "a b", ""} {
		if got := unquoteEnv(quoteEnv(v)); got != v {
			t.Errorf("%q came back as %q", v, got)
		}
	}
}
