package phase

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
)

// What a restore puts out of sight is counted before it asks.
func TestRestoreCountsWhatItReplaces(t *testing.T) {
	h := newSmallHost(t)
	s := backup.Snapshot{ID: "7d4486d3", Time: time.UnixMilli(1000)}
	r, err := restoringOf(t.Context(), h.op.Facts, s)
	if err != nil || r.Replaces || len(r.Loses) != 0 {
		t.Errorf("on an empty database: %+v, %v", r, err)
	}
	h.post("999")
	h.post("1000")
	h.post("2000")
	h.op.Facts.Schema = mattermost.Schema{Tables: 2}
	r, err = restoringOf(t.Context(), h.op.Facts, s)
	must(t, err)
	if diff := cmp.Diff(&Restoring{Backup: "7d4486d3", Since: s.Time, Replaces: true, Loses: map[string]int{"posts": 2}}, r); diff != "" {
		t.Error(diff)
	}
	if r.Lost() != "2 posts" {
		t.Error(r.Lost())
	}
}
