package phase

import (
	"testing"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/state"
)

// A version is compared with the database that it was started on, which is not the one that served
// before where a copy or a backup took its place.
func TestVerifyComparesWithWhatItFound(t *testing.T) {
	const newer, older = "db_migrations:120:121", "db_migrations:100:100"
	for name, c := range map[string]struct {
		way     string
		restore *backup.Snapshot
		want    string
	}{
		"an upgrade": {"", nil, newer},
		"a rollback": {WayCheckpoint, nil, older},
		"a restore":  {"", &backup.Snapshot{Manifest: backup.Manifest{Schema: older}}, older},
	} {
		op := &Operation{restore: c.restore, Record: &state.State{Return: &state.Return{Schema: older}, Run: &state.Run{Way: c.way, SchemaBefore: newer}}}
		if got := foundBefore(op); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
