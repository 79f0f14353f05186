package phase

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/state"
)

// left is the record of an upgrade of system and Mattermost that restarts the host.
func left(op *Operation, at string) *state.Run {
	return &state.Run{ID: op.ID, Operation: "all", Step: at, BootID: "the boot before", Started: time.Now().Add(-2 * time.Minute),
		Stopped: true, StoppedAt: time.Now().Add(-time.Minute), From: "1", To: "2",
		System: &state.System{RebootFor: "kernel", Rebooting: time.Now().Add(-50 * time.Second)}}
}

// A run is continued behind the step in its record. One whose step is unknown, as it was written by
// another version of this program, is undone: continued anywhere else it would skip its verification.
func TestResumeAtAnUnknownStep(t *testing.T) {
	w, op := newWorld()
	op.Name = "all"
	var done []string
	phases := slices.Insert(w.phases(), 5, Phase(AllReboot{}), marks("verify", &done))
	w.Active, w.Up = "2", false
	op.Record.Run = left(op, "a step of another version")
	report, err := Resume(t.Context(), phases, op)
	var back *RolledBack
	if !errors.As(err, &back) || report.Outcome != OutcomeRolledBack || report.Exit != ExitRolledBack {
		t.Errorf("error %v, report %+v", err, report)
	}
	if w.Active != "1" || !w.Up || len(w.ran) > 0 || len(done) > 0 {
		t.Errorf("it ran %v %v, and the server is %+v", w.ran, done, w)
	}
	if w.disk.Run != nil || len(w.disk.History) != 1 {
		t.Errorf("record %+v", w.disk)
	}
}

// The record of a version that wrote titles in place of IDs is continued at the same step.
func TestRecordsWithTitles(t *testing.T) {
	data, err := os.ReadFile("testdata/record-before-ids.json")
	must(t, err)
	for _, c := range []struct{ operation, title, id string }{
		{"all", "restart the host", "reboot"}, // as in the file
		{"os", "restart the host", "reboot"},
		{"apply", "swap the versions", "switch"},
		{"apply", "back up the database", "backup"},
		{"rollback", "take the database back", "rollback-database"},
		{"rollback", "keep what the newer version has", "snapshot"},
		{"restore", "put database and files in place", "exchange"},
		{"backup", "check the repository", "preflight"},
		{"all", "a title that no version had", ""},
	} {
		text := strings.NewReplacer(`"operation": "all"`, `"operation": "`+c.operation+`"`, `"restart the host"`, `"`+c.title+`"`).Replace(string(data))
		record, err := state.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		phases, want := Operations()[c.operation].All, -1
		for i, p := range phases {
			if p.ID() == c.id {
				want = i
			}
		}
		if got := indexOf(phases, record.Run.Step); got != want || record.Run.Phase != "" {
			t.Errorf("%s, %q: step %d, want %d; %+v", c.operation, c.title, got, want, record.Run)
		}
	}
}
