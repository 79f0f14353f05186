package phase

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// brought is bringBack of a backup with one file and no posts.
type brought struct {
	bringBack
	h *smallHost
}

func (b brought) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	run.Restored = mattermost.RestoredName("chat", run.Started)
	staging := filepath.Join(b.h.dir, "state", stagingPrefix+run.ID)
	run.Exchanges = []state.Exchange{{Path: filepath.Join(b.h.dir, "state/data"), Staged: filepath.Join(staging, "srv/data"), Kept: filepath.Join(staging, keptName, "data")}}
	if err := op.Save(); err != nil {
		return err
	}
	touch(b.h.t, staging, "srv/data/old.txt")
	if _, err := b.h.conn.Exec(ctx, "create database "+run.Restored+" template chat"); err != nil {
		return err
	}
	conn, err := op.Facts.Database.On(run.Restored).Connect(ctx)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "delete from posts")
	return errors.Join(err, conn.Close(ctx))
}

// watched stands for Watch.
type watched struct{ do func() error }

func (watched) ID() string                              { return "watch" }
func (watched) Title() string                           { return "watch" }
func (w watched) Run(context.Context, *Operation) error { return w.do() }

// newRestore is a host with two posts and an upload, and the phases that restore a backup there.
func newRestore(t *testing.T, watch Phase) (*smallHost, []Phase) {
	h := newSmallHost(t)
	op := h.op
	op.ID, op.Name, op.Watch, op.Releases = "20261201T030000Z-restore", "restore", 300*time.Millisecond, &release.Client{CacheDir: t.TempDir()}
	op.Facts.Config.InDatabase, op.Facts.Schema = true, mattermost.Schema{Migrations: "db_migrations:1:100", Tables: 2}
	op.restore = &backup.Snapshot{Manifest: backup.Manifest{Schema: "db_migrations:1:100"}}
	touch(t, h.dir, "state/data/upload.txt")
	h.post("1")
	h.post("2")
	dir := filepath.Join(h.dir, "versions/7.7.0")
	return h, []Phase{begin{state.Run{From: "7.7.0", To: "7.7.0", Unit: "mm.service", Link: h.link, OldTarget: dir, NewTarget: dir,
		Address: op.Facts.Health.URL, Port: 8065, Backup: "1a2b3c4d"}},
		brought{h: h}, Stop{}, exchange{}, Swap{}, Start{}, Verify{}, Open{}, watch, commitRestore{}}
}

// has reports whether the file is there.
func (h *smallHost) has(name string) bool {
	_, err := os.Stat(filepath.Join(h.dir, name))
	return err == nil
}

func (h *smallHost) databases() (names []string) {
	rows, err := h.conn.Query(h.t.Context(), "select datname from pg_database where datname like 'chat%' order by 1")
	must(h.t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(h.t, rows.Scan(&name))
		names = append(names, name)
	}
	return names
}

// Files that a restore replaced live as long as the database that names them, also over upgrades that
// copy no database, and are removed with it.
func TestReplacedFilesLiveAsLongAsTheDatabase(t *testing.T) {
	h, phases := newRestore(t, Watch{})
	report, err := Run(t.Context(), phases, h.op)
	must(t, err)
	kept := filepath.Join("state", stagingPrefix+h.op.ID, keptName, "data/upload.txt")
	if !h.has("state/data/old.txt") || h.has("state/data/upload.txt") || !h.has(kept) {
		t.Fatal("the files are not the backup's, or those that they replaced are gone")
	}
	if h.has(filepath.Join("state", stagingPrefix+h.op.ID, "srv")) {
		t.Error("what is not kept was left behind")
	}
	for _, w := range report.Warnings {
		if strings.Contains(w, "has changed the database") {
			t.Errorf("the backup's own database: %s", w)
		}
	}
	record, err := state.Load(filepath.Join(h.dir, "state.json"))
	must(t, err)
	if len(record.Replaced) != 1 || record.Replaced[0].Run != h.op.ID || len(record.Replaced[0].Dirs) != 1 {
		t.Fatalf("the record knows of %+v", record.Replaced)
	}
	replaced := record.Replaced[0].Database

	h.op.Record.Run = &state.Run{ID: "20261202T030000Z-apply", From: "7.7.0", To: "7.7.1"}
	must(t, pruneCopies(t.Context(), h.op))
	if !h.has(kept) || len(h.op.Record.Replaced) != 1 {
		t.Error("the files are gone, and the database that names them is there: ", h.databases())
	}
	_, err = h.conn.Exec(t.Context(), "create database "+mattermost.CheckpointName("chat", time.Now().Add(time.Hour)))
	must(t, err)
	must(t, pruneCopies(t.Context(), h.op))
	if all := h.databases(); len(all) != 2 || strings.Contains(strings.Join(all, " "), replaced) {
		t.Errorf("databases are %v", all)
	}
	if h.has(filepath.Join("state", stagingPrefix+"20261201T030000Z-restore")) || len(h.op.Record.Replaced) != 0 {
		t.Error("the files are left, and the database that names them is gone")
	}
}

// A restore that was killed behind its end has its files in the record, for a later run to remove.
func TestReplacedFilesOfAKilledRestore(t *testing.T) {
	dir := t.TempDir()
	run := state.Run{ID: "20261201T030000Z-restore", Operation: "restore", From: "7.7.0", To: "7.7.0", Replaced: "chat_checkpoint_1",
		Exchanges: []state.Exchange{{Path: dir + "/data", Kept: filepath.Join(dir, stagingPrefix+"20261201T030000Z-restore", keptName, "data")}}}
	record := &state.State{Run: &run}
	touch(t, dir, stagingPrefix+run.ID+"/"+keptName+"/data/upload.txt", stagingPrefix+run.ID+"/srv/x")
	conclude(record, &run)
	record.Run = &state.Run{ID: "20261202T030000Z-apply"}
	op := &Operation{Record: record, Emit: func(Event) {}, Save: func() error { return nil }}
	must(t, pruneReplaced(op, []string{"chat_checkpoint_1"}))
	if len(record.Replaced) != 1 {
		t.Fatal("forgotten, though its database is there")
	}
	record.Replaced[0].Dirs = append(record.Replaced[0].Dirs, filepath.Join(dir, "another")) // which is none of ours
	touch(t, dir, "another/x")
	must(t, pruneReplaced(op, nil))
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(record.Replaced) != 0 || len(left) != 1 || left[0].Name() != "another" {
		t.Errorf("left: %v, in the record %+v", left, record.Replaced)
	}
}

// A restore that does not stand its watch is undone, as long as users wrote nothing on what it brought.
func TestRestoreIsWatched(t *testing.T) {
	for name, writes := range map[string]bool{"and undone": false, "and stays with what users wrote": true} {
		t.Run(name, func(t *testing.T) {
			var h *smallHost
			var phases []Phase
			h, phases = newRestore(t, watched{func() error {
				if writes {
					h.post("extract(epoch from now()) * 1000 + 1000")
				}
				return errors.New("it exited")
			}})
			_, err := Run(t.Context(), phases, h.op)
			var back *RolledBack
			if errors.As(err, &back) == writes {
				t.Fatalf("error is %v", err)
			}
			posts := h.post("3") - 1 // the backup had none
			if writes {
				if posts != 1 || !h.has("state/data/old.txt") || len(h.op.Record.Replaced) != 1 || h.op.Record.Run != nil || h.op.Record.Return != nil {
					t.Errorf("%d posts, record %+v, %v", posts, h.op.Record, err)
				}
				return
			}
			if posts != 2 || !h.has("state/data/upload.txt") || h.has("state/"+stagingPrefix+h.op.ID) || len(h.op.Record.Replaced) != 0 {
				t.Errorf("%d posts, record %+v", posts, h.op.Record)
			}
			if all := h.databases(); len(all) != 1 {
				t.Errorf("databases are %v", all)
			}
		})
	}
}

// The order of a restore's phases: users are let in before it is watched, nothing is final before, and a
// rebuilt server is unattended from then on.
func TestRestoreWatchesBeforeItIsFinal(t *testing.T) {
	all := Restore()
	for i, want := range []Phase{Open{}, Watch{}, commitRestore{}, Timers{}} {
		if got := all[len(all)-4+i]; got.Title() != want.Title() {
			t.Errorf("%s, want %s", got.Title(), want.Title())
		}
	}
}
