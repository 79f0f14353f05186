package phase

import (
	"io/fs"
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

// Attachments may be on a disk of their own: what a restore needs is asked of the disk that it fills.
func TestSpaceWhereTheFilesGo(t *testing.T) {
	const gb = 1 << 30
	disks := map[string]uint64{"/": 20 * gb, "/srv": 2000 * gb}
	space := func(dir string) (uint64, uint64, any, error) {
		free, ok := disks[dir]
		if !ok {
			return 0, 0, nil, fs.ErrNotExist
		}
		return free, 1 << 30, dir, nil
	}
	list := []state.Exchange{{Path: "/var/lib/mattermost/config", Kept: "/var/lib/mattermost/.x/before/config"},
		{Path: "/var/lib/mattermost/plugins", Kept: "/var/lib/mattermost/.x/before/plugins"}, {Path: "/srv/attachments", Kept: "/srv/.x/before/attachments"}}
	places := []backup.Place{{Name: "config", Bytes: 1 << 20, Files: 1}, {Name: "plugins", Bytes: gb, Files: 900}, {Name: "files", Bytes: 300 * gb, Files: 1e6}}
	for _, c := range []struct {
		srv  uint64
		want string
	}{
		{2000 * gb, ""},
		{299 * gb, "disk of /srv: 306176 MB free (allowed: 307456 MB, for the backup's files)"},
	} {
		disks["/srv"] = c.srv
		r := &room{}
		needPlaces(r, list, places)
		found, err := r.problems(space)
		must(t, err)
		if got := found.Err(); c.want == "" && got != nil || c.want != "" && (got == nil || !strings.Contains(got.Error(), c.want)) {
			t.Errorf("with %d GB: %v", c.srv/gb, got)
		}
	}

	store := filepath.Join(t.TempDir(), "data")
	touch(t, store, "20261122/charter.txt")
	disks = map[string]uint64{"/": 20 * gb, filepath.Dir(store): 2000 * gb}
	op := &Operation{ID: "20261201T030000Z-verify", Facts: &mattermost.Installation{Config: &mattermost.Config{}, Unit: &mattermost.Unit{WorkDir: filepath.Dir(store)}}}
	for _, c := range []struct {
		bytes int64
		want  string
	}{
		{gb, filepath.Join(scratchDir(), op.ID)},
		{300 * gb, filepath.Join(filepath.Dir(store), stagingPrefix+op.ID)},
		{3000 * gb, filepath.Join(scratchDir(), op.ID)}, // which says how much is missing
	} {
		if got := proofDir(op, backup.Manifest{FileBytes: c.bytes}, space); got != c.want {
			t.Errorf("%d GB are restored for the proof to %s, want %s", c.bytes/gb, got, c.want)
		}
	}
	must(t, os.Chmod(filepath.Dir(store), 0o777))
	if got := proofDir(op, backup.Manifest{FileBytes: 300 * gb}, space); got != filepath.Join(scratchDir(), op.ID) {
		t.Errorf("the proof goes to %s, where every user can exchange it", got)
	}
}

// A manifest from before the places had sizes is completed from the repository.
func TestWeightOfAnOldBackup(t *testing.T) {
	repo, dir := repository(t), t.TempDir()
	touch(t, dir, "data/a", "data/b/c", "datax", "plugins/p")
	at := func(name string) string { return filepath.Join(dir, name) }
	m := backup.Manifest{Run: "20261201T030000Z-backup", Site: "chat", Places: []backup.Place{{Name: "data", Path: at("data")}, {Name: "datax", Path: at("datax")}, {Name: "plugins", Path: at("plugins")}}}
	s := saveBackup(t, repo, m, at("data"), at("datax"), at("plugins"))
	places, err := repo.Weigh(t.Context(), s)
	must(t, err)
	var got [][2]int64
	for _, p := range places {
		got = append(got, [2]int64{p.Files, p.Bytes})
	}
	if want := [][2]int64{{2, 14}, {1, 5}, {1, 9}}; !slices.Equal(got, want) {
		t.Errorf("files and bytes are %v, want %v", got, want)
	}
}
