package backup

import (
	"fmt"
	"slices"
	"testing"
)

// What is held stays whatever the rules say, as do the last ones; what goes is named.
func TestPruneHolds(t *testing.T) {
	t.Parallel()
	r := open(t, options(t))
	data := t.TempDir()
	var made []string
	for i := range 5 {
		run := fmt.Sprintf("20261122T0%d0000Z-backup", i)
		made = append(made, save(t, r, "chat", run, run, data).ID)
	}
	p, err := r.Prune(t.Context(), "chat", Keep{Last: 2, Daily: 1}, made[1], "", "ffffffff", made[4])
	if err != nil || p.Kept != 3 || p.Partial != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	var gone []string
	for _, s := range p.Removed {
		gone = append(gone, s.ID)
	}
	if want := []string{made[0], made[2]}; !slices.Equal(gone, want) {
		t.Errorf("%v are named as removed, want %v", gone, want)
	}
	list, err := r.Snapshots(t.Context())
	if err != nil || len(list) != 3 || list[0].ID != made[4] || list[1].ID != made[3] || list[2].ID != made[1] {
		t.Errorf("%+v, %v", list, err)
	}
	if all, err := r.raws(t.Context()); err != nil || len(all) != 9 {
		t.Errorf("%d parts are left, %v: want three of each", len(all), err)
	}
}
