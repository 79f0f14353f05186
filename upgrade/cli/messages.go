package cli

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// facts is a table in the making; an empty value is no row.
type facts []notify.Fact

func (f *facts) add(name, value string) {
	if value != "" {
		*f = append(*f, notify.Fact{Name: name, Value: value})
	}
}

// foundMessage is what a check has to say; nil when there is nothing.
func foundMessage(plan phase.Preview, waits map[schedule.Kind]state.Pending, to notify.Config, now time.Time) *notify.Message {
	var f facts
	m := notify.Message{Event: "found", Key: "found"}
	if !plan.UpToDate || plan.Closed || plan.Waiting != "" {
		f.add("Installed", plan.From)
	}
	for _, kind := range slices.Sorted(maps.Keys(waits)) {
		what := waits[kind].What
		if !waits[kind].Security.IsZero() {
			what += " (security)"
		}
		switch kind {
		case schedule.Drift:
			f.add("Not as the stack says", what)
			continue
		case schedule.Larger:
			f.add("Waits for a person", what)
		case schedule.Held:
			f.add("Not installed", what)
			continue
		case schedule.Unsupported:
			f.add("End of life", what)
			continue
		case schedule.Repository:
			f.add("No backups", what)
			continue
		default:
			f.add("Available", what)
		}
		m.Title = "Updates are available"
	}
	if plan.Exit == phase.ExitAttention {
		m.Title = "Mattermost " + plan.From + " gets no update"
		if plan.Ended != "" {
			m.Title += " and has reached end of life"
		}
		if len(waits) == 0 {
			f.add("Why", plan.Reasons())
		}
	}
	if _, differs := waits[schedule.Drift]; differs && m.Title == "" {
		m.Title = "This server is not as its stack says"
	}
	if _, lost := waits[schedule.Repository]; lost && m.Title == "" {
		m.Title = "The backups cannot be reached"
	}
	if plan.Ended == "" {
		f.add("Supported until", plan.EndOf)
	}
	if plan.Error != "" {
		m.Title = "Mattermost cannot be upgraded"
		f.add("Why", plan.Error)
		f.add("To do", commandOf("plan", plan.Hint))
		for _, p := range plan.Problems {
			f.add(p.Where, strings.TrimSpace(p.Found+" "+commandOf("plan", p.Hint)))
		}
	}
	for _, w := range plan.Warnings {
		f.add("Note", w)
	}
	if since, late := behind(waits, to, now); late {
		m.Urgent = true
		m.Title = fmt.Sprintf("This server could not be brought up to date for %d days", int(now.Sub(since).Hours()/24))
	}
	if m.Title == "" {
		return nil
	}
	m.Facts = f
	return &m
}

// announcement says that people will be without service soon.
func announcement(plan phase.Preview, in time.Duration) *notify.Message {
	var f facts
	what, away := "The server is updated", "a few seconds at most; what you write meanwhile is kept"
	if plan.To != "" {
		what, away = "Mattermost is upgraded", "a few seconds; what you write meanwhile is kept"
		f.add("Now", plan.From)
		f.add("Then", plan.To)
	}
	if s := plan.System; s != nil {
		f.add("System", s.Summary())
		if s.Reboot.Needed() && s.Later == "" {
			away = "about a minute, while the server restarts"
		}
	}
	f.add("Downtime", away)
	return &notify.Message{Event: "announced", Facts: f, Title: fmt.Sprintf("%s in %.0f minutes", what, in.Minutes())}
}

// quietOperations are those whose success is no news.
var quietOperations = []string{"backup", "verify", "prune"}

// runMessage is what a run has to say; nil when nothing was changed.
func runMessage(r phase.Report) *notify.Message {
	done := r.Outcome == phase.OutcomeDone
	if r.UpToDate || r.Outcome == phase.OutcomeLater || done && slices.Contains(quietOperations, r.Operation) {
		return nil
	}
	title, text, _ := strings.Cut(ui.Headline(r), "\n")
	m := notify.Message{Event: "done", Key: "run " + r.Operation, Same: r.ID, Title: title, Text: text,
		Urgent: r.Outcome == phase.OutcomeNotRolledBack}
	if !done { // once a day is enough for the same failure, however long the run took and whatever its number
		m.Event, m.Same = "failed", versions(r)+"\n"+digits.ReplaceAllString(title+"\n"+r.Error, "#")
	}
	var f facts
	f.add("Version", versions(r))
	var packages []string
	for _, p := range r.Packages {
		packages = append(packages, p.Name+" "+p.To)
	}
	f.add("Packages", strings.Join(packages, ", "))
	restarted := r.Restarted
	if r.Downtime > 0 {
		away := ui.Took(r.Downtime)
		if r.Down {
			away += " so far: Mattermost is still down"
		}
		f.add("Downtime", away)
		if len(restarted) == 0 {
			restarted = []string{"Mattermost"}
		}
	}
	f.add("Restarted", strings.Join(restarted, ", "))
	f.add("Rebooted", r.Rebooted)
	f.add("Put back", strings.Join(r.Repaired, "; "))
	f.add("Took", ui.Took(r.Ended.Sub(r.Started)))
	if !done {
		f.add("Why", r.Error)
		_, again := ui.Commands(r.Operation)
		f.add("To do", commandOf(again, r.Hint))
	}
	for _, w := range r.Warnings {
		f.add("Note", w)
	}
	f.add("Run", r.ID)
	m.Facts = f
	return &m
}

// commandOf returns a hint of flags alone as a line of the command.
func commandOf(command, hint string) string {
	if strings.HasPrefix(hint, "--") {
		return "upgrade " + command + " " + hint + " …"
	}
	return hint
}

// digits differ from one failure to the next where it is the same: a process, a file's date, a duration.
var digits = regexp.MustCompile(`[0-9][0-9.,:]*`)

func versions(r phase.Report) string {
	if r.From == "" || r.To == "" || r.From == r.To {
		return cmp.Or(r.To, r.From)
	}
	return r.From + " → " + r.To
}
