package phase

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// TestSpareAfterAKill: killed at any of its saves, an attempt to take migrations back leaves what the
// next one can go on from.
func TestSpareAfterAKill(t *testing.T) {
	socket, _ := pgtest.Start(t)
	db, exec := community(t, socket, "mm")
	admin, err := findAdmin(t.Context(), db)
	must(t, err)
	since := time.Now().Add(-time.Minute)
	gone := errors.New("gone")
	for n := 1; ; n++ {
		// An attempt was killed half way, with its copy made: what it did to the database is not known.
		on := state.Run{Spare: mattermost.CheckpointName(db.Name, since.Add(time.Second))}
		must(t, admin.Checkpoint(t.Context(), on.Spare))
		on.SpareAt = time.Now()
		exec(db.Name, "drop table posts")
		run, saves := on, 0
		op := &Operation{Record: &state.State{Run: &run}, Emit: func(Event) {}}
		op.Save = func() error {
			if saves++; saves == n {
				return gone
			}
			on = run
			return nil
		}
		_, err := makeSpare(t.Context(), op, db, since)
		if err == nil {
			if n == 1 {
				t.Error("nothing was saved")
			}
			return
		}
		if !errors.Is(err, gone) {
			t.Fatal(err)
		}
		next := on
		op = &Operation{Record: &state.State{Run: &next}, Emit: func(Event) {}, Save: func() error { return nil }}
		if _, err := makeSpare(t.Context(), op, db, since); err != nil {
			t.Fatalf("killed at save %d: %v", n, err)
		}
		if now, err := db.On(next.Spare).CountRows(t.Context(), []string{"posts"}); err != nil || now["posts"] != 1 || next.SpareAt.IsZero() {
			t.Errorf("killed at save %d: the copy has %d posts (%v)", n, now["posts"], err)
		}
	}
}

// TestCommitThatCannotBeSaved: what the disk does not know is not so, also when a later save writes
// the whole record.
func TestCommitThatCannotBeSaved(t *testing.T) {
	bad := map[string]state.Bad{"9.10.0": {Reason: "it exits"}}
	before := state.State{Active: "7.7.0", Previous: "7.1.0", Return: &state.Return{To: "7.7.0"}, Bad: bad}
	record := before
	record.Run = &state.Run{From: "7.7.0", To: "9.10.0"}
	op := &Operation{Record: &record, Save: func() error { return errors.New("no space left on device") }}
	if err := (Commit{}).Run(t.Context(), op); err == nil {
		t.Fatal("committed what could not be saved")
	}
	if record.Active != "7.7.0" || record.Previous != "7.1.0" || record.Return != before.Return || len(record.Bad) != 1 || record.Run.Committed {
		t.Errorf("the record is %+v", record)
	}
}

// TestWhatOnlyTheNewerVersionHas: a rollback that fails when users were let in already leaves the copy
// in which alone are the rows of tables that the newer version made anew; and no copy for nothing.
func TestWhatOnlyTheNewerVersionHas(t *testing.T) {
	h := newSmallHost(t)
	db := h.op.Facts.Database
	admin, err := findAdmin(t.Context(), db)
	must(t, err)
	plan := filepath.Join(h.dir, "plan.json")
	data, err := json.Marshal(map[string]any{"Migrations": []any{map[string]any{"Bytes": []byte("CREATE TABLE drafts (text text);")}}})
	must(t, errors.Join(err, os.WriteFile(plan, data, 0o600)))
	copied := mattermost.CheckpointName(db.Name, time.Now())
	for _, c := range []struct {
		rows, way string
		stays     bool
	}{{"insert into drafts values ('a'), ('b')", WayDowngrade, true}, {"select 1", WayDowngrade, false}, {"insert into drafts values ('a')", "", false}} {
		conn, err := db.Connect(t.Context())
		must(t, err)
		_, err = conn.Exec(t.Context(), "create table drafts (text text); "+c.rows)
		must(t, errors.Join(err, conn.Close(t.Context()), admin.Checkpoint(t.Context(), copied)))
		conn, err = db.Connect(t.Context())
		must(t, err)
		_, err = conn.Exec(t.Context(), "drop table drafts")
		must(t, errors.Join(err, conn.Close(t.Context())))
		var said string
		h.op.Emit = func(e Event) { said += e.Text }
		_, boot := host.Process()
		h.op.Record = &state.State{Return: &state.Return{Plan: plan}, Run: &state.Run{From: "9.10.0", To: "7.7.0", Unit: "mm.service", Link: h.link,
			BootID: boot, Way: c.way, Changed: true, Migrates: true, OpenedAt: time.Now(), Checkpoint: copied, CheckpointComplete: true}}
		must(t, dropFailed(t.Context(), h.op))
		there, err := admin.Exists(t.Context(), copied)
		if err != nil || there != c.stays || strings.Contains(said, "2 drafts; the database with it is kept as "+copied) != c.stays {
			t.Errorf("%+v: there %v (%v), it says %q", c, there, err, said)
		}
	}
}
