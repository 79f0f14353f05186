package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// Status is how a server is.
type Status struct {
	Host       string               `json:"host,omitempty"`
	Booting    bool                 `json:"booting,omitempty"` // its first boot goes on; nothing else is known
	Installed  bool                 `json:"installed"`
	Version    string               `json:"version,omitempty"`
	Edition    string               `json:"edition,omitempty"`
	Path       string               `json:"path,omitempty"`
	URL        string               `json:"url,omitempty"`
	Service    string               `json:"service,omitempty"` // as systemd says: active, failed, …
	Up         time.Duration        `json:"up_ns,omitempty"`   // since when the service runs
	Healthy    bool                 `json:"healthy"`
	Track      string               `json:"track,omitempty"`
	Window     string               `json:"window,omitempty"`
	Previous   string               `json:"previous,omitempty"`
	Bad        map[string]state.Bad `json:"bad,omitempty"`
	Elsewhere  map[string]string    `json:"failed_elsewhere,omitempty"` // on other stacks' servers, and how
	Running    string               `json:"running,omitempty"`          // the run in progress
	Unfinished string               `json:"unfinished,omitempty"`       // a run in the record
	Stuck      bool                 `json:"stuck,omitempty"`            // it ended, and reported that it could not be undone
	Again      bool                 `json:"again,omitempty"`            // the server tries that again
	Lock       *host.Holder         `json:"lock,omitempty"`
	Repository string               `json:"backup_repository,omitempty"` // where the backups go
	Backup     *state.Backup        `json:"backup,omitempty"`
	Warnings   []string             `json:"warnings,omitempty"` // what someone should look after
	Problems   problem.List         `json:"problems,omitempty"`
	History    []state.Finished     `json:"history,omitempty"`
	System     *phase.OSFacts       `json:"system,omitempty"` // by the lists that apt has
	Compared   bool                 `json:"compared"`         // with what the stack says
	Drift      []drift.Difference   `json:"drift,omitempty"`  // and this is not so

	Timers  []host.TimerStatus              `json:"timers,omitempty"`  // what it does by itself
	Pending map[schedule.Kind]state.Pending `json:"pending,omitempty"` // what waits
	Untold  *notify.Failure                 `json:"untold,omitempty"`  // people could not be told

	Unheard map[string]*notify.Failure `json:"unheard,omitempty"` // heartbeats that did not reach the monitoring service

	Attention []Attention `json:"attention,omitempty"`
	Exit      int         `json:"exit"` // of the command
}

// Attention is one thing that an operator should do something about.
type Attention struct {
	ID      string `json:"id"` // what kind of thing
	What    string `json:"what"`
	Command string `json:"command,omitempty"` // of upgrade, without the server's name
	Hint    string `json:"hint,omitempty"`    // what to type
}

// Status writes how a server is.
func (p *Printer) Status(s Status) error {
	err := p.Result(s, func(w io.Writer) { p.statusText(w, s) })
	p.Warnings(s.Warnings)
	switch {
	case s.Booting:
		p.Hint("wait longer: " + p.Command("status --wait 30m"))
	case s.Running != "":
		p.Hint("follow it: " + p.Command("follow"))
	case !s.Installed && len(s.Problems) == 0:
		p.Hint("install it: " + p.Command("apply"))
	}
	if slices.ContainsFunc(s.Drift, func(d drift.Difference) bool { return d.Left == "" }) {
		p.Hint("see how it differs: " + p.Command("repair --show"))
	}
	return err
}

func (p *Printer) statusText(w io.Writer, s Status) {
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-10s %s\n", name, value)
		}
	}
	switch {
	case s.Booting:
		fmt.Fprintln(w, p.paint(yellow, "The server is still booting."))
		return
	case s.Running != "" && s.Exit != phase.ExitError && (!s.Healthy || len(s.Problems) > 0):
		fmt.Fprintln(w, p.paint(yellow, strings.TrimSpace("A run is in progress on the server. "+between(s.Version))))
		s.Problems = nil // what is true of a service between two versions
	case !s.Installed && len(s.Problems) == 0:
		fmt.Fprintln(w, p.paint(green, "The server is ready.")+" Mattermost is not installed yet.")
	case s.Healthy && len(s.Problems) == 0:
		fmt.Fprintln(w, p.paint(green, "Mattermost "+s.Version+" serves."))
	case s.Installed:
		fmt.Fprintln(w, p.paint(red, "Mattermost "+s.Version+" is not as it should be."))
	default:
		fmt.Fprintln(w, p.paint(red, "The server is not as it should be."))
	}
	row("server", s.Host)
	row("address", s.URL)
	row("edition", s.Edition)
	row("folder", s.Path)
	if s.Service != "" {
		row("service", s.Service+since(s.Up))
	}
	row("track", s.Track)
	row("window", s.Window)
	row("system", systemLine(s.System))
	if s.Compared && len(s.Drift) == 0 {
		row("drift", "none")
	}
	for _, kind := range sortedKeys(s.Pending) {
		if slices.Contains([]schedule.Kind{schedule.Drift, schedule.Held, schedule.Unsupported, schedule.Repository}, kind) { // that is below
			continue
		}
		if f := s.System; kind == schedule.System && f != nil && systemLine(f) == systemIsCurrent { // what was seen before
			continue
		}
		what := s.Pending[kind].What
		if kind == schedule.Larger {
			what += ", for a person"
		}
		row("waits", fmt.Sprintf("%s, since %s", what, s.Pending[kind].Since.Format(time.DateOnly)))
	}
	for _, t := range s.Timers {
		if t.Name == "townsquare-upgrade" && t.Active {
			row("by itself", t.Title+", next asked "+moment(t.Next))
		}
	}
	row("before", s.Previous)
	row("backup", backupRow(s.Repository, s.Backup))
	for _, v := range sortedKeys(s.Elsewhere) {
		row("skipped", v+": "+firstLine(s.Elsewhere[v]))
	}
	for _, v := range sortedKeys(s.Bad) {
		row("skipped", fmt.Sprintf("%s, since %s: %s", v, s.Bad[v].Since.Format(time.DateOnly), firstLine(s.Bad[v].Reason)))
	}
	if s.Lock != nil {
		row("at work", s.Lock.String())
	}
	if s.Running != "" {
		row("run", s.Running+" is in progress")
	}
	if n := len(s.History); n > 0 {
		last := s.History[n-1]
		row("last run", fmt.Sprintf("%s, %s: %s", last.Started.Local().Format("2006-01-02 15:04"), change(last), outcomeWord(last.Outcome)))
	}
	p.needsAttention(w, s.Attention)
	var left []drift.Difference
	for _, d := range s.Drift {
		if d.Left != "" && d.Risk == "" {
			left = append(left, d)
		}
	}
	p.differences(w, left, false)
	p.problems(w, s.Problems)
}

// between returns which version is there while a run may have stopped it.
func between(version string) string {
	if version == "" {
		return ""
	}
	return "Mattermost " + version + " does not answer now."
}

// needsAttention lists what an operator should do something about; a hint that several in a row
// share is written once.
func (p *Printer) needsAttention(w io.Writer, list []Attention) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, p.paint(yellow, "Needs attention:"))
	for i, one := range list {
		fmt.Fprintln(w, "  "+firstLine(one.What))
		if one.Hint != "" && (i+1 == len(list) || list[i+1].Hint != one.Hint) {
			fmt.Fprintln(w, "    "+p.paint(dim, one.Hint))
		}
	}
}

func since(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return " for " + Took(d)
}

// History writes what was done before, the newest first.
func (p *Printer) History(runs []state.Finished) error {
	return p.Result(runs, func(w io.Writer) {
		if len(runs) == 0 {
			fmt.Fprintln(w, "Nothing was done on this server yet.")
			return
		}
		var rows strings.Builder
		table := tabwriter.NewWriter(&rows, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "WHEN\tWHAT\tRESULT\tDOWNTIME\tTOOK")
		for _, r := range runs {
			away := "-"
			if r.Downtime > 0 {
				away = Took(r.Downtime)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Started.Local().Format("2006-01-02 15:04"),
				change(r), outcomeWord(r.Outcome), away, Took(r.Ended.Sub(r.Started)))
		}
		_ = table.Flush()
		head, rest, _ := strings.Cut(rows.String(), "\n")
		fmt.Fprintln(w, head)
		for i, row := range strings.Split(strings.TrimSuffix(rest, "\n"), "\n") {
			fmt.Fprintln(w, row)
			if runs[i].Error != "" {
				fmt.Fprintf(w, "    %s\n", firstLine(runs[i].Error))
			}
		}
	})
}

func change(r state.Finished) string {
	switch {
	case r.Operation == "os":
		return "system: " + systemChange(r)
	case r.Operation == "all":
		r.Operation = "apply"
		return change(r) + "; system: " + systemChange(r)
	case r.Operation == "rehearse":
		return r.To + " rehearsed"
	case r.Operation == "repair":
		return "repair: " + count(len(r.Repaired), "difference")
	case r.Operation == "rollback":
		return r.From + " back to " + r.To
	case r.Operation == "backup":
		return "backup"
	case r.Operation == "verify":
		return "backup proven"
	case r.Operation == "prune":
		return "backups pruned"
	case r.Operation == "restore":
		return r.To + " restored"
	case r.From == "":
		return r.To + " installed"
	}
	return r.From + " to " + r.To
}

func outcomeWord(outcome string) string {
	switch outcome {
	case phase.OutcomeRolledBack:
		return "failed, put back"
	case phase.OutcomeNotRolledBack:
		return "failed, not put back"
	case phase.OutcomeInterrupted:
		return "stopped on request"
	}
	return outcome
}

// Unlocked says what became of a lock; v is the same as JSON.
func (p *Printer) Unlocked(v any, found, alive, gone bool, holder *host.Holder) error {
	return p.Result(v, func(w io.Writer) {
		switch {
		case !found:
			fmt.Fprintln(w, "The server was not locked.")
		case !alive:
			fmt.Fprintf(w, "The server is free. The lock was left behind by %s (%s).\n", holder.Who, holder.Why)
		case gone:
			fmt.Fprintf(w, "The server is free. %s (%s) has stopped and put everything back.\n", holder.Who, holder.Why)
		default:
			fmt.Fprintf(w, "The lock was taken from %s (%s), who is still putting things back.\n", holder.Who, holder.Why)
		}
	})
}

// NoRun says that there was nothing to cancel; v is the same as JSON.
func (p *Printer) NoRun(v any) error {
	return p.Result(v, func(w io.Writer) { fmt.Fprintln(w, "No run is in progress on the server.") })
}

// Whole says that there was nothing to recover; v is the same as JSON.
func (p *Printer) Whole(v any) error {
	return p.Result(v, func(w io.Writer) { fmt.Fprintln(w, "Nothing was left unfinished on the server.") })
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
