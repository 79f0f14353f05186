package phase

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// What restic counts and what is counted of the restored files is the same, whatever lies among them.
func TestWeighAsResticDoes(t *testing.T) {
	repo, data, outside := repository(t), t.TempDir(), t.TempDir()
	touch(t, data, "live/site.key", "archive/site1.key", "a")
	touch(t, outside, "b")
	must(t, os.Symlink("../archive/site1.key", filepath.Join(data, "live/link.key")))
	must(t, os.Symlink(outside, filepath.Join(data, "2019")))
	must(t, os.Link(filepath.Join(data, "a"), filepath.Join(data, "hard")))
	must(t, syscall.Mkfifo(filepath.Join(data, "pipe"), 0o600))
	s := saveBackup(t, repo, backup.Manifest{Run: "20261201T030000Z-backup", Site: "chat"}, data)
	target := t.TempDir()
	must(t, repo.Files(t.Context(), s, target, []string{data}))
	count, bytes, err := weigh(target)
	must(t, err)
	if count != s.Manifest.FileCount || bytes != s.Manifest.FileBytes || count != 4 {
		t.Errorf("%d files with %d bytes were restored, restic counted %d with %d", count, bytes, s.Manifest.FileCount, s.Manifest.FileBytes)
	}
}

// placed is an installation with attachments in a database, of which one is behind a link out of the
// file store.
func placed(t *testing.T) (op *Operation, store, archive string, said *[]string) {
	t.Helper()
	socket, _ := pgtest.Start(t)
	db, err := mattermost.ParseDSN("host="+socket+" user=postgres dbname=postgres", "")
	must(t, err)
	conn, err := db.Connect(t.Context())
	must(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `create table fileinfo (id text, path text, size bigint);
		insert into fileinfo values ('a', '20261122/charter.txt', 20), ('b', '2019/old.txt', 12), ('c', 'later/moved.txt', 15), ('d', '20261122/gone.txt', 1)`)
	must(t, err)
	dir := t.TempDir()
	store, archive = filepath.Join(dir, "data"), filepath.Join(dir, "archive")
	touch(t, store, "20261122/charter.txt", "moved/moved.txt")
	touch(t, archive, "2019/old.txt")
	must(t, os.Symlink(filepath.Join(archive, "2019"), filepath.Join(store, "2019")))
	must(t, os.Symlink("moved", filepath.Join(store, "later")))
	must(t, os.Symlink("nowhere", filepath.Join(store, "dangling")))
	said = new([]string)
	op = &Operation{Record: &state.State{}, Emit: func(e Event) { *said = append(*said, e.Text) },
		Facts: &mattermost.Installation{Database: db, Dir: dir, Config: &mattermost.Config{InDatabase: true}, Unit: &mattermost.Unit{WorkDir: dir},
			Places: []mattermost.Place{{Name: "data", Target: store}}}}
	return op, store, archive, said
}

// Attachments behind a link out of the file store are not in a backup. It says so by name, and the
// proof does not take the files of the server for those of the backup.
func TestLinksOutOfTheFileStore(t *testing.T) {
	op, store, archive, said := placed(t)
	var m backup.Manifest
	must(t, places(t.Context(), op, &m))
	must(t, absent(t.Context(), op, &m))
	link := backup.Link{Path: filepath.Join(store, "2019"), Target: filepath.Join(archive, "2019"), Attachments: 1}
	if diff := cmp.Diff([]backup.Link{link}, m.Outside); diff != "" {
		t.Errorf("links out of the store (-want +got):\n%s", diff)
	}
	if slices.Sort(m.Lost); !slices.Equal(m.Lost, []string{"2019/old.txt", "20261122/gone.txt"}) || m.Missing() != 1 || m.BehindLinks() != 1 {
		t.Errorf("lost: %v, %d missing, %d behind links", m.Lost, m.Missing(), m.BehindLinks())
	}
	if p := m.Places[0]; p.Files != 2 || p.Bytes != 35 {
		t.Errorf("the file store weighs %d bytes in %d files", p.Bytes, p.Files)
	}
	if all := strings.Join(*said, "\n"); !strings.Contains(all, link.Path+" leads out of the file store, to "+link.Target) || !strings.Contains(all, "1 attachments are not in this backup") {
		t.Errorf("it says %s", all)
	}

	repo := repository(t)
	m.Run, m.Site = "20261201T030000Z-backup", "chat"
	s := saveBackup(t, repo, m, store)
	target := t.TempDir()
	must(t, repo.Files(t.Context(), s, target, []string{store}))
	restored := filepath.Join(target, store)
	if err := proveAttachments(t.Context(), op.Facts.Database, restored, &m); err != nil {
		t.Errorf("what the backup says is not in it: %v", err)
	}
	m.Outside, m.Lost = nil, []string{"20261122/gone.txt"}
	if err := proveAttachments(t.Context(), op.Facts.Database, restored, &m); err == nil || !strings.Contains(err.Error(), "2019/old.txt") {
		t.Errorf("the server's own files were taken for the backup's: %v", err)
	}
}

// The file store may be relative to the service's working directory, which is not the program's.
func TestFileStoreOfTheService(t *testing.T) {
	op, store, _, _ := placed(t)
	op.Facts.Places = nil
	op.Facts.Dir = filepath.Join(t.TempDir(), "program")
	var m backup.Manifest
	must(t, places(t.Context(), op, &m))
	if m.StorePath != store || len(m.Places) != 1 || m.Places[0].Path != store {
		t.Errorf("the file store is %s, in %+v", m.StorePath, m.Places)
	}
}
