package phase

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// The plan says what a dump at the stop costs, by the last one's measure where there is one.
func TestStopCost(t *testing.T) {
	op := &Operation{Record: &state.State{}, Facts: &mattermost.Installation{Schema: mattermost.Schema{Heap: 1000 << 20}}}
	if got := (Checkpoint{}).Describe(op); strings.Contains(got, "dump") {
		t.Errorf("a dump, though a copy can be made: %s", got)
	}
	op.dumps = "no role here may copy the database"
	if got := (Checkpoint{}).Describe(op); !strings.Contains(got, "about 10 s of downtime (1000 MB at 100 MB a second, a guess") {
		t.Error(got)
	}
	op.Record.Dumped = state.Measured{Bytes: 100 << 20, Took: 5 * time.Second, At: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	if got := (Checkpoint{}).Describe(op); !strings.Contains(got, "about 50 s of downtime (1000 MB at 20 MB a second, measured on 2026-11-01)") {
		t.Error(got)
	}
	op.Facts.Schema.Heap = 100 << 30
	if limit := (Checkpoint{}).Limit(op); limit < 4*time.Hour {
		t.Errorf("a dump that takes an hour and a half is ended after %s", limit)
	}
}

// Only a whole dump may be put back; the record names it before it is begun.
func TestStoppedDumpMustBeWhole(t *testing.T) {
	run := &state.Run{StoppedDump: filepath.Join(t.TempDir(), "x.dump")}
	if got := stoppedDump(run); got != "" {
		t.Errorf("%q is not there", got)
	}
	if err := os.WriteFile(run.StoppedDump, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stoppedDump(run) == "" || stoppedDump(&state.Run{}) != "" {
		t.Error("not found")
	}
}

// How long the copy takes is said before, by the last one's measure where there is one.
func TestCopyCost(t *testing.T) {
	op := &Operation{Record: &state.State{}, Facts: &mattermost.Installation{Schema: mattermost.Schema{Bytes: 1000 << 20, Tables: 1}}}
	if got := (Checkpoint{}).Describe(op); !strings.Contains(got, "about 2 s of downtime (1000 MB at 500 MB a second, a guess") {
		t.Error(got)
	}
	op.Record.Copied = state.Measured{Bytes: 900 << 20, Took: time.Second, At: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	if got := (Checkpoint{}).Describe(op); !strings.Contains(got, "about 1.10 s of downtime (1000 MB at 900 MB a second, measured on 2026-11-01)") {
		t.Error(got)
	}
	// What a tiny database took is not how fast a large one goes.
	op.Record.Copied.Bytes = 8 << 20
	if got := (Checkpoint{}).Describe(op); !strings.Contains(got, "about 3 s of downtime (8 MB took 1 s on 2026-11-01; of the other 992 MB it is a guess)") {
		t.Error(got)
	}
	op.Facts.Schema.Bytes = 4 << 20
	if got := (Checkpoint{}).Describe(op); !strings.Contains(got, "about 0.50 s of downtime (4 MB at 8 MB a second, measured") {
		t.Error(got)
	}
}

// Whatever keeps PostgreSQL from a copy, a dump takes its place; a database that cannot be reached can be
// dumped no more than copied.
func TestUncopyable(t *testing.T) {
	for _, err := range []error{mattermost.ErrNoRoom, mattermost.ErrInUse, mattermost.ErrNoCopy} {
		if !uncopyable(fmt.Errorf("at the stop: %w", err)) {
			t.Errorf("no dump, though %v", err)
		}
	}
	if uncopyable(errors.New("connection refused")) || uncopyable(nil) {
		t.Error("a dump of what cannot be reached")
	}
}
