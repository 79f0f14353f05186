package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// attention lists what an operator should do something about, the most urgent first. What is wrong with
// Mattermost itself is in s.Problems.
func attention(s *ui.Status, record *state.State, backups state.Backups, now time.Time) (list []ui.Attention) {
	add := func(id, what, command, hint string) {
		list = append(list, ui.Attention{ID: id, What: what, Command: command, Hint: hint})
	}
	if s.Unfinished != "" && s.Running == "" {
		add("unfinished-run", "run "+s.Left(), "recover", "")
	}
	if last := lastRun(s.History); last != nil && s.Running == "" {
		add("failed-run", fmt.Sprintf("the last run (%s) failed: %s", last.ID, firstLine(last.Error)), "history", "")
	}
	for _, d := range s.Drift {
		switch {
		case d.Left == "":
			add("drift", d.String(), "repair", "")
		case d.Risk != "":
			add("risk", d.Risk+": "+d.String(), "", d.Hint)
		}
	}
	for _, t := range s.Timers {
		if off := t.Off(); off != "" && !s.Compared { // else it is among the drift
			add("timer", t.Name+".timer "+off, "timers enable", "")
		}
		if t.Failed {
			add("unattended-run", t.Title+": the last unattended run failed", "", "sudo journalctl -u "+t.Service+" -n 50")
		}
	}
	for _, kind := range []schedule.Kind{schedule.Unsupported, schedule.Held} {
		if p, ok := s.Pending[kind]; ok {
			add(string(kind), p.What, "check", "")
		}
	}
	if since, late := behind(s.Pending, notify.Config{}, now); late {
		add("late", fmt.Sprintf("updates have waited for %d days", int(now.Sub(since).Hours()/24)), "check --all", "")
	}
	if p, ok := s.Pending[schedule.Repository]; ok {
		add("repository", fmt.Sprintf("%s (since %s)", p.What, p.Since.Format(time.DateTime)), "backup list", "")
	}
	if s.Installed {
		list = append(list, backupAttention(record, backups, now)...)
	}
	if s.Untold != nil {
		add("notifications", fmt.Sprintf("notifications have not arrived since %s: %s", s.Untold.Since.Format(time.DateTime), s.Untold.Error), "notify test", "")
	}
	for _, of := range slices.Sorted(maps.Keys(s.Unheard)) {
		f := s.Unheard[of]
		add("heartbeat", fmt.Sprintf("the heartbeat of the %s has not reached the monitoring service since %s: %s", of, f.Since.Format(time.DateTime), f.Error), "notify test", "")
	}
	return list
}

// backupAttention is about backups that are missing, too old, or that were not verified for long.
func backupAttention(record *state.State, c state.Backups, now time.Time) []ui.Attention {
	b := record.Backup
	no := func(what, command string) []ui.Attention {
		return []ui.Attention{{ID: "backup", What: what, Command: command}}
	}
	switch {
	case c.Repository == "":
		return nil
	case b == nil:
		return no("no backup was made from this server yet", "backup create")
	case c.Stale(b.Time, now):
		return no(fmt.Sprintf("the newest backup is %d hours old", int(now.Sub(b.Time).Hours())), "backup create")
	}
	switch old := now.Sub(b.VerifiedAt); {
	case b.VerifiedAt.IsZero():
		if h := record.History; len(h) > 0 && now.Sub(h[0].Started) > proofAge {
			return no("no backup was ever verified", "backup verify")
		}
	case old > proofAge:
		return no(fmt.Sprintf("a backup was last verified %d days ago", int(old.Hours()/24)), "backup verify")
	}
	return nil
}

// proofAge is when a verification, which is weekly, has failed twice.
const proofAge = 15 * 24 * time.Hour

// lastRun is the newest run where it failed; nil where it went well, was refused or cancelled.
func lastRun(history []state.Finished) *state.Finished {
	if len(history) == 0 {
		return nil
	}
	last := &history[len(history)-1]
	if slices.Contains([]string{phase.OutcomeFailed, phase.OutcomeRolledBack, phase.OutcomeNotRolledBack}, last.Outcome) {
		return last
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// settled removes from waits the versions that do not wait any more: being installed, failed or skipped.
func settled(waits map[schedule.Kind]state.Pending, record *state.State, skipped ...map[string]string) {
	gone := map[string]bool{}
	if run := record.Run; run != nil {
		gone["Mattermost "+run.To] = true
	}
	for version := range record.Bad {
		gone["Mattermost "+version] = true
	}
	for _, versions := range skipped {
		for version := range versions {
			gone["Mattermost "+version] = true
		}
	}
	for _, kind := range []schedule.Kind{schedule.Upgrade, schedule.Larger} {
		if gone[waits[kind].What] {
			delete(waits, kind)
		}
	}
}
