package phase

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// repository is one of the real restic on this disk.
func repository(t *testing.T) *backup.Repository {
	t.Helper()
	dir := t.TempDir()
	o := backup.Options{Repository: filepath.Join(dir, "repository"), Password: filepath.Join(dir, "password"), Dir: filepath.Join(dir, "own")}
	must(t, os.WriteFile(o.Password, []byte("a password of twenty characters\n"), 0o600))
	repo, err := backup.Open(t.Context(), o)
	must(t, err)
	_, err = repo.Make(t.Context())
	must(t, err)
	return repo
}

// saveBackup makes a backup of paths with this manifest.
func saveBackup(t *testing.T, repo *backup.Repository, m backup.Manifest, paths ...string) backup.Snapshot {
	t.Helper()
	database, err := repo.SaveDatabase(t.Context(), m.Site, m.Run, func(w io.Writer) error {
		_, err := io.WriteString(w, "select 1;\n")
		return err
	})
	must(t, err)
	files, err := repo.SaveFiles(t.Context(), m.Site, m.Run, paths, []string{stagingPrefix + "*"}, nil)
	must(t, err)
	m.Database, m.Files, m.FileCount, m.FileBytes = database.ID, files.ID, files.Files, files.Bytes
	s, err := repo.SaveManifest(t.Context(), m)
	must(t, err)
	return s
}

// A later backup of the same day takes neither the one that was verified nor the one from before the
// last upgrade, and each one that it does take is named.
func TestBackupsThatStay(t *testing.T) {
	repo, data := repository(t), t.TempDir()
	at := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	made := func(version string) string {
		at = at.Add(time.Minute)
		return saveBackup(t, repo, backup.Manifest{Run: at.Format("20060102T150405Z") + "-backup", Site: "chat", Time: at, Mattermost: version}, data).ID
	}
	goes, before, verified, goesToo, newest := made("7.7.0"), made("7.7.0"), made("9.10.0"), made("9.10.0"), made("9.10.0")
	version, err := release.Parse("9.10.0")
	must(t, err)
	op := &Operation{Emit: func(Event) {}, Record: &state.State{Backup: &state.Backup{ID: newest, VerifiedID: verified}},
		Config: state.Config{URL: "https://chat", Backup: state.Backups{Keep: state.Keep{Last: 1, Daily: 1}}},
		Facts:  &mattermost.Installation{Version: version, Dir: "/opt/townsquare/versions/9.10.0"}}
	var said []string
	op.Emit = func(e Event) { said = append(said, e.Text) }
	must(t, prune(t.Context(), op, repo))
	all, err := repo.Snapshots(t.Context())
	must(t, err)
	var left []string
	for _, s := range all {
		left = append(left, s.ID)
	}
	if want := []string{newest, verified, before}; !slices.Equal(left, want) {
		t.Errorf("%v are left, want %v", left, want)
	}
	if !slices.Equal(op.Backup.RemovedIDs, []string{goes, goesToo}) || op.Backup.Removed != 2 || op.Backup.Kept != 3 {
		t.Errorf("the report says %+v; %s and %s are gone", op.Backup, goes, goesToo)
	}
	for _, id := range []string{goes, goesToo} {
		if !strings.Contains(strings.Join(said, "\n"), "backup "+id+" of 2026-12-01") {
			t.Errorf("%s went without a word: %q", id, said)
		}
	}
}
