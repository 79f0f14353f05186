package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
)

func TestBackupWarnings(t *testing.T) {
	now := time.Now()
	c := state.Backups{Repository: "/mnt/b"}
	fresh := &state.Backup{ID: "1", Time: now.Add(-time.Hour), VerifiedID: "1", VerifiedAt: now}
	for _, k := range []struct {
		name string
		c    state.Backups
		b    *state.Backup
		want []string
	}{
		{"no repository", state.Backups{}, nil, nil},
		{"never", c, nil, []string{"no backup was made"}},
		{"as it should be", c, fresh, nil},
		{"too old", c, &state.Backup{Time: now.Add(-37 * time.Hour), VerifiedAt: now}, []string{"37 hours old"}},
		{"not verified yet", c, &state.Backup{Time: now}, nil},
		{"verified too long ago", c, &state.Backup{Time: now, VerifiedAt: now.AddDate(0, 0, -16)}, []string{"16 days ago"}},
	} {
		got := backupAttention(&state.State{Backup: k.b, History: []state.Finished{{Started: now.AddDate(0, 0, -2)}}}, k.c, now)
		if len(got) != len(k.want) {
			t.Errorf("%s: %v", k.name, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i].What, k.want[i]) || got[i].Command == "" {
				t.Errorf("%s: %v", k.name, got)
			}
		}
	}
}

// A backup of a server that is old enough for two verifications has had none.
func TestNeverVerified(t *testing.T) {
	now := time.Now()
	record := &state.State{Backup: &state.Backup{Time: now}, History: []state.Finished{{Started: now.AddDate(0, 0, -16)}}}
	got := backupAttention(record, state.Backups{Repository: "/mnt/b"}, now)
	if len(got) != 1 || got[0].What != "no backup was ever verified" {
		t.Errorf("%+v", got)
	}
}

// TestSecretsBesideTheConfiguration: they travel with the upgrade.yaml they lie beside, when nobody
// else can read them.
func TestSecretsBesideTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "upgrade.yaml")
	var d host.Delivery
	if err := secretsBeside(config, &d); err != nil || d.BackupPassword != "" {
		t.Errorf("none: %v", err)
	}
	path := filepath.Join(dir, "backup.password")
	if err := os.WriteFile(path, []byte("hunter2hunter2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := secretsBeside(config, &d); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("everybody can read it: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := secretsBeside(config, &d); err != nil || d.BackupPassword != "hunter2hunter2" {
		t.Errorf("%q, %v", d.BackupPassword, err)
	}
}

func TestBackupIDs(t *testing.T) {
	for id, want := range map[string]bool{"1a2b3c4d": true, "1A2B": true, "abc": false, "latest": false, "--all": false, "1a2b/../..": false} {
		if got := isBackupID(id); got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
}

// TestStackHasBackups: a bucket is a repository, and what opens it goes to its own files.
func TestStackHasBackups(t *testing.T) {
	o := outputs{BackupBucket: "chat-backups", BackupEndpoint: "https://fra1.digitaloceanspaces.com", BackupKeep: state.Keep{Daily: 3}}
	b := o.backups()
	if b.Repository != "s3:https://fra1.digitaloceanspaces.com/chat-backups/townsquare" || b.Kept() != (state.Keep{Last: 5, Daily: 3}) {
		t.Errorf("%+v", b)
	}
	if found := (state.Config{Backup: b}).Check("stack"); len(found) > 0 {
		t.Error(found)
	}
	if b := (&outputs{}).backups(); b.Repository != "" {
		t.Errorf("no bucket: %+v", b)
	}
}

// The most destructive command takes nothing for granted: which backup is said.
func TestRestoreNeedsABackup(t *testing.T) {
	for text, want := range map[string]string{"": "missing", "newest": `"newest"`, "latest": "", "7d4486d3": ""} {
		o := restoreOptions{backup: text, yes: true, targetFlags: targetFlags{stack: "prod"}}
		found := o.check(&app{})
		if (len(found) == 0) != (want == "") || want != "" && (found[0].Where != "BACKUP" || found[0].Found != want) {
			t.Errorf("%q: %v", text, found)
		}
	}
}
