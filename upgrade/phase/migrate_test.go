package phase

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// An index that an earlier run began and could not remove is no administrator's: the migration would
// take it for done.
func TestUnfinishedIndexesOfAnEarlierRun(t *testing.T) {
	socket, _ := pgtest.Start(t)
	db, exec := community(t, socket, "mm")
	exec("mm", "create table twice (a int)", "insert into twice values (1)",
		"create unique index concurrently theirs on twice (a)", "create unique index concurrently idx_ours on twice (a)",
		"update pg_index set indisvalid = false where indexrelid in ('theirs'::regclass, 'idx_ours'::regclass)")
	plan := filepath.Join(t.TempDir(), "plan.json")
	type migration struct{ Bytes []byte }
	text, err := json.Marshal(map[string][]migration{"Migrations": {
		{[]byte("CREATE TABLE IF NOT EXISTS drafts (id int);")},
		{[]byte("-- morph:nontransactional\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS Idx_Ours\n ON twice (a);")}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plan, text, 0o600); err != nil {
		t.Fatal(err)
	}
	op := &Operation{Record: &state.State{Run: &state.Run{Plan: plan}}, Facts: &mattermost.Installation{Database: db}}
	left, err := unfinished(t.Context(), op)
	if err != nil || !left || !slices.Equal(op.Record.Run.Unfinished, []string{"theirs"}) {
		t.Errorf("left %v, theirs %v, %v", left, op.Record.Run.Unfinished, err)
	}
	if err := db.EndMigrator(t.Context(), op.Record.Run.Unfinished); err != nil {
		t.Fatal(err)
	}
	if left, err := unfinished(t.Context(), op); err != nil || left {
		t.Errorf("still left: %v, %v", left, err)
	}
}
