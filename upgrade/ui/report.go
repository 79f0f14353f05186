package ui

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
)

// Report ends a run: the result on stdout, what to type next on stderr.
func (p *Printer) Report(r phase.Report) error {
	if r.Operation == "os" {
		return p.systemReport(r)
	}
	if r.ID == "" { // of no run, so nothing was said yet
		p.Warnings(r.Warnings)
	}
	err := p.Result(r, func(w io.Writer) {
		fmt.Fprintln(w)
		fmt.Fprintln(w, p.headline(r))
		p.restarts(w, r)
		p.phases(w, r)
		p.problems(w, r.Problems)
	})
	for _, hint := range p.next(r) {
		p.Hint(hint)
	}
	return err
}

// Headline says in a line or a few how a run ended.
func Headline(r phase.Report) string {
	switch r.Operation {
	case "os":
		return (&Printer{}).systemHeadline(r)
	case "repair":
		return (&Printer{}).repairHeadline(r)
	case "backup", "verify", "prune", "restore":
		return (&Printer{}).backupHeadline(r)
	}
	return (&Printer{}).headline(r)
}

func (p *Printer) headline(r phase.Report) string {
	reason := strings.TrimSuffix(firstLine(r.Error), " (rolled back)")
	to := "Mattermost"
	if r.To != "" {
		to += " " + r.To
	}
	as := "Everything is as it was"
	kept := "nothing was changed"
	if n := len(r.Packages); n > 0 {
		kept = fmt.Sprintf("what was installed of the system stays (%s)", count(n, "package"))
		as = "W" + kept[1:]
	}
	switch {
	case r.Outcome == phase.OutcomeLater:
		return r.Why + " " + nothingElse(r.Recovered)
	case r.UpToDate && r.Behind != "":
		return p.paint(yellow, noUpdate(r.Behind)+"\n"+unchanged(r))
	case r.UpToDate && r.Operation == "all":
		return p.paint(green, fmt.Sprintf("Mattermost %s and the system are up to date.\n%s", r.From, unchanged(r)))
	case r.UpToDate:
		return p.paint(green, upToDate(r.From, r.Why)+"\n"+unchanged(r))
	case r.Outcome == phase.OutcomeDone && r.From == "":
		return p.paint(green, to+" is installed.")
	case r.Outcome == phase.OutcomeDone && r.Operation == "all":
		return p.paint(green, fmt.Sprintf("Mattermost is now %s; it was %s. The system is up to date: %s.", r.To, r.From, systemChange(r.Finished)))
	case r.Outcome == phase.OutcomeDone:
		return p.paint(green, fmt.Sprintf("Mattermost is now %s; it was %s.", r.To, r.From))
	case r.Outcome == phase.OutcomeRefused && r.Operation == "rollback":
		return p.paint(yellow, "Rollback is not possible. "+nothingElse(r.Recovered))
	case r.Outcome == phase.OutcomeRefused:
		return p.paint(yellow, to+" cannot be installed yet. "+nothingElse(r.Recovered))
	case r.Outcome == phase.OutcomeRolledBack && r.From == "":
		return p.paint(red, fmt.Sprintf("%s could not be installed: %s\n%s.", to, reason, as))
	case r.Outcome == phase.OutcomeRolledBack:
		return p.paint(red, fmt.Sprintf("%s did not work: %s\n%s serves again. %s.", to, reason, r.From, as))
	case r.Outcome == phase.OutcomeNotRolledBack:
		return p.paint(red, fmt.Sprintf("%s did not work, and the rollback failed.\n%s\nMattermost may be down until an operator intervenes.", to, paragraph(r.Error)))
	case r.Outcome == phase.OutcomeInterrupted:
		return p.paint(yellow, "Stopped on request. "+as+".")
	case r.From == "":
		return p.paint(red, fmt.Sprintf("%s was not installed: %s\nNothing was changed.", to, reason))
	default:
		return p.paint(red, fmt.Sprintf("%s was not installed: %s\nMattermost kept running; %s.", to, reason, kept))
	}
}

func upToDate(version, why string) string {
	text := "Mattermost " + version + " is up to date."
	if why != "" {
		text += "\n" + why
	}
	return text
}

// unchanged says of a run that was not needed what was changed all the same.
func unchanged(r phase.Report) string {
	if len(r.Timers) > 0 {
		return "Mattermost was not touched; the timers were set as the configuration says: " + strings.Join(r.Timers, ", ") + "."
	}
	return nothingElse(r.Recovered)
}

// nothingElse returns that nothing was changed, except for the recovery of a run.
func nothingElse(recovered string) string {
	if recovered != "" {
		return "The unfinished run " + recovered + " was recovered; nothing else was changed."
	}
	return "Nothing was changed."
}

// stillDown names a downtime that goes on.
const stillDown = "downtime so far, the service is still down"

// phases is the table of times.
func (p *Printer) phases(w io.Writer, f phase.Report) {
	if len(f.Phases) == 0 {
		return
	}
	away := "downtime"
	if f.Down {
		away = stillDown
	}
	width := len(away)
	for _, t := range f.Phases {
		width = max(width, len([]rune(t.Title)))
	}
	fmt.Fprintln(w)
	for _, t := range f.Phases {
		fmt.Fprintf(w, "  %-*s  %10s\n", width, t.Title, Took(t.Took))
	}
	fmt.Fprintf(w, "\n  %-*s  %10s\n", width, "in all", Took(f.Ended.Sub(f.Started)))
	if f.From != "" {
		fmt.Fprintf(w, "  %-*s  %10s\n", width, away, Took(f.Downtime))
	}
}

// problems lists findings, each with what to type under it.
func (p *Printer) problems(w io.Writer, list []problem.Problem) {
	for _, f := range list {
		fmt.Fprintf(w, "\n  %s %s\n", p.sign("✗", "-"), p.paint(bold, f.Where))
		if f.Found != "" {
			fmt.Fprintf(w, "      found:   %s\n", f.Found)
		}
		if f.Allowed != "" {
			fmt.Fprintf(w, "      allowed: %s\n", f.Allowed)
		}
		if f.Hint != "" {
			fmt.Fprintf(w, "      do:      %s\n", p.Complete(f.Hint))
		}
	}
}

// next is what can be typed after a run, the most urgent first.
func (p *Printer) next(r phase.Report) []string {
	plan, apply := Commands(r.Operation)
	logs := "on the host: sudo journalctl -u mattermost -u townsquare-upgrade -n 100"
	var hints []string
	if r.Hint != "" {
		hints = append(hints, r.Hint)
	}
	switch r.Outcome {
	case phase.OutcomeNotRolledBack:
		hints = append(hints,
			"try again to put everything back: "+p.Command("recover"),
			"see how the service is: "+p.Command("status"), logs)
	case phase.OutcomeRolledBack:
		hints = append(hints, "see why: "+logs)
		if r.Skipped {
			hints = append(hints, r.To+" is skipped from now on; to try it all the same: "+p.Command(apply+" --to "+r.To+" --retry-failed"))
		} else {
			hints = append(hints, "try again: "+p.Repeat(apply))
		}
		if len(r.Packages) > 0 {
			hints = append(hints, "restart what still runs old files: "+p.Command("os apply"))
		}
	case phase.OutcomeRefused:
		hints = append(hints, "then look again: "+p.Repeat(plan))
	case phase.OutcomeFailed, phase.OutcomeInterrupted:
		hints = append(hints, "try again: "+p.Repeat(apply))
	case phase.OutcomeDone:
		if !r.UpToDate {
			hints = append(hints, "see how it is: "+p.Command("status"))
		} else if len(r.Timers) > 0 {
			hints = append(hints, "see when each comes next: "+p.Command("timers list"))
		}
	}
	return hints
}

// failure is an error for machines.
type failure struct {
	Error    string            `json:"error"`
	Hint     string            `json:"hint,omitempty"`
	Problems []problem.Problem `json:"problems,omitempty"`
	Exit     int               `json:"exit"`
}

// Fail writes an error, and apart from it what to type.
func (p *Printer) Fail(err error, exit int) {
	p.screen.clear()
	var list problem.List
	_ = errors.As(err, &list)
	list = p.CompleteAll(list)
	if p.JSON {
		_ = p.Result(failure{Error: printable.Lines(err.Error()), Hint: p.Complete(phase.Hint(err)), Problems: list, Exit: exit}, nil)
	}
	if len(list) > 0 {
		for _, f := range list {
			p.line(p.paint(red, "error: ") + printable.Line(f.String()))
			p.Hint(f.Hint)
		}
		return
	}
	p.line(p.paint(red, "error: ") + paragraph(err.Error()))
	p.Hint(phase.Hint(err))
}

// Usage writes what is wrong with what was typed, all of it.
func (p *Printer) Usage(list problem.List, help string) {
	p.screen.clear()
	list = p.CompleteAll(list)
	if p.JSON {
		_ = p.Result(failure{Error: list.Error(), Problems: list, Exit: phase.ExitUsage}, nil)
	}
	for _, f := range list {
		p.line(p.paint(red, "error: ") + f.String())
		p.Hint(f.Hint)
	}
	p.Hint("see how it is used: " + help)
}
