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
		if !strings.Contains(out.String(), "Removed by the rules of backup.keep: a266f9bf, 7d4486d3.") {
			t.Errorf("%s", &out)
		}
	}
}

// The question names what is destroyed, and what of it is in no backup.
func TestRestoreAsksTheRightQuestion(t *testing.T) {
	at := time.Date(2026, 12, 1, 3, 3, 0, 0, time.Local)
	for _, c := range []struct {
		from    string
		restore phase.Restoring
		title   string
		said    string
	}{
		{"7.7.0", phase.Restoring{Backup: "7d4486d3", Since: at, Replaces: true, Loses: map[string]int{"posts": 3}},
			"Restore backup 7d4486d3 of 2026-12-01 03:03, replacing the current database and files", "not in it: 3 posts. The current database and files are kept"},
		{"9.10.0", phase.Restoring{Backup: "7d4486d3", Since: at, Replaces: true},
			"Restore backup 7d4486d3 of 2026-12-01 03:03, replacing the current database and files, and Mattermost 9.10.0 by 7.7.0", "only until the next upgrade or restore"},
		{"", phase.Restoring{Backup: "7d4486d3", Since: at}, "Restore backup 7d4486d3 of 2026-12-01 03:03", "Backup 7d4486d3"},
	} {
		var out, errs bytes.Buffer
		p, plan := printer(&out, &errs), phase.Preview{From: c.from, To: "7.7.0", Why: "Backup 7d4486d3 of …", Restore: &c.restore}
		if got := p.Title(plan); got != c.title {
			t.Errorf("asks %q, want %q", got, c.title)
		}
		p.Restoring(plan)
		p.Close()
		if !strings.Contains(errs.String(), c.said) || strings.Contains(errs.String(), "kept on") != c.restore.Replaces {
			t.Errorf("says %q, want %q", errs.String(), c.said)
		}
	}
}
