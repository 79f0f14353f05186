package ui

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// A backup is verified when it was that one that was restored for a test.
func TestVerifiedIsOfThatBackup(t *testing.T) {
	made, at := time.Date(2026, 12, 1, 2, 44, 0, 0, time.Local), time.Date(2026, 12, 1, 2, 42, 0, 0, time.Local)
	for _, c := range []struct {
		b    state.Backup
		want string
	}{
		{state.Backup{ID: "3163a2ad", Time: made}, "3163a2ad, 2026-12-01 02:44; none verified yet"},
		{state.Backup{ID: "3163a2ad", Time: made, VerifiedID: "3163a2ad", VerifiedAt: at}, "3163a2ad, 2026-12-01 02:44; verified 2026-12-01 02:42"},
		{state.Backup{ID: "3163a2ad", Time: made, VerifiedID: "fa1b495f", VerifiedAt: at},
			"3163a2ad, 2026-12-01 02:44, not verified; newest verified: fa1b495f, on 2026-12-01 02:42"},
	} {
		if got := backupRow("/mnt/b", &c.b); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

// What a backup removes is named in the result.
func TestRemovedBackupsAreNamed(t *testing.T) {
	for _, operation := range []string{"backup", "prune"} {
		var out, errs bytes.Buffer
		r := report(phase.OutcomeDone, "", 0)
		r.Operation, r.Backup = operation, &phase.BackupReport{ID: "2909ca7c", Removed: 2, RemovedIDs: []string{"a266f9bf", "7d4486d3"}, Kept: 2}
		if err := printer(&out, &errs).BackupReport(r); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "Removed, as backup.keep says: a266f9bf, 7d4486d3.") {
			t.Errorf("%s", &out)
		}
	}
}
