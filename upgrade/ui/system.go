package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// SystemCheck ends a look at the operating system: what is pending.
func (p *Printer) SystemCheck(plan phase.Preview) error {
	p.Warnings(plan.Warnings)
	err := p.Result(plan, func(w io.Writer) {
		switch {
		case plan.Error != "":
			p.refusal(w, plan)
			p.pending(w, plan.System)
		case plan.UpToDate && plan.Exit == phase.ExitDone:
			fmt.Fprintln(w, p.paint(green, "The system is up to date."))
			p.pending(w, plan.System)
		default:
			fmt.Fprintln(w, p.paint(bold, plan.System.Summary()))
			p.pending(w, plan.System)
		}
	})
	if plan.Error == "" && plan.Exit == phase.ExitAvailable {
		p.Hint("see what would happen: " + p.Command("os plan"))
		p.Hint("do it: " + p.Command("os apply"))
	}
	return err
}

// pending lists everything that waits.
func (p *Printer) pending(w io.Writer, f *phase.OSFacts) {
	if f == nil {
		return
	}
	if len(f.Packages) > 0 {
		table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, one := range f.Packages {
			from, kind := one.From, ""
			if from == "" {
				from = "new"
			}
			if one.Security {
				kind = "security"
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", one.Name, from, one.To, kind)
		}
		_ = table.Flush()
		download, unpacked := f.Bytes()
		fmt.Fprintf(w, "  to download: %.1f MB; unpacked: %.1f MB\n", float64(download)/1e6, float64(unpacked)/1e6)
	}
	row := func(name string, list []string) {
		if len(list) > 0 {
			fmt.Fprintf(w, "  %s: %s\n", name, strings.Join(list, ", "))
		}
	}
	if f.Interrupted != "" {
		fmt.Fprintln(w, "  dpkg was interrupted; os apply repairs that first")
	}
	row("would restart", f.Restart)
	row("held back by a person", f.Held)
	row("would be removed", f.Remove)
	if f.Reboot.Needed() {
		fmt.Fprintf(w, "  a reboot is needed%s: %s\n", sinceDay(f.Reboot.Since), f.Reboot.Reason())
		if f.Later != "" {
			fmt.Fprintln(w, "    "+f.Later)
		}
	}
}

func sinceDay(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + t.Local().Format("2006-01-02 15:04")
}

// systemReport ends a run on the operating system alone.
func (p *Printer) systemReport(r phase.Report) error {
	if r.ID == "" { // of no run, so nothing was said yet
		p.Warnings(r.Warnings)
	}
	err := p.Result(r, func(w io.Writer) {
		fmt.Fprintln(w)
		fmt.Fprintln(w, p.systemHeadline(r))
		p.restarts(w, r)
		p.phases(w, r)
		p.problems(w, r.Problems)
	})
	if r.Hint != "" {
		p.Hint(r.Hint)
	}
	switch r.Outcome {
	case phase.OutcomeRefused:
		p.Hint("then look again: " + p.Command("os plan"))
	case phase.OutcomeNotRolledBack:
		p.Hint("see how the service is: " + p.Command("status"))
		p.Hint("on the host: sudo journalctl -u mattermost -u townsquare-upgrade -n 100")
	case phase.OutcomeFailed, phase.OutcomeRolledBack, phase.OutcomeInterrupted:
		p.Hint("see how the service is: " + p.Command("status"))
		p.Hint("try again: " + p.Command("os apply"))
	}
	return err
}

// restarts says what a run on the system restarted, and what it did not.
func (p *Printer) restarts(w io.Writer, r phase.Report) {
	if len(r.Restarted) > 0 {
		fmt.Fprintf(w, "Restarted, each once: %s.\n", strings.Join(r.Restarted, ", "))
	}
	if r.Rebooted != "" {
		fmt.Fprintf(w, "The server was restarted: %s.\n", r.Rebooted)
	}
	if r.Reboot.Needed() {
		fmt.Fprintf(w, "%s %s.\n", p.paint(yellow, "A reboot is needed still:"), r.Reboot.Reason())
	}
}

func (p *Printer) systemHeadline(r phase.Report) string {
	reason := strings.TrimSuffix(paragraph(r.Error), " (rolled back)")
	switch {
	case r.Outcome == phase.OutcomeLater:
		return r.Why + " " + nothingElse(r.Recovered)
	case r.UpToDate:
		return p.paint(green, strings.TrimSpace("The system is up to date. "+nothingElse(r.Recovered)+" "+r.Why))
	case r.Outcome == phase.OutcomeDone:
		return p.paint(green, "The system is up to date: "+systemChange(r.Finished)+".")
	case r.Outcome == phase.OutcomeRefused:
		return p.paint(yellow, "The system cannot be brought up to date yet. "+nothingElse(r.Recovered))
	case r.Outcome == phase.OutcomeNotRolledBack:
		return p.paint(red, "It did not work: "+reason+"\nMattermost may be down until someone looks.")
	case r.Outcome == phase.OutcomeInterrupted:
		return p.paint(yellow, "Stopped on request. What was installed stays.")
	default:
		return p.paint(red, "It did not work: "+reason)
	}
}

// systemChange says in a few words what a run did to the system.
func systemChange(f state.Finished) string {
	var words []string
	if n := len(f.Packages); n > 0 {
		words = append(words, count(n, "package"))
	}
	if n := len(f.Restarted); n > 0 {
		words = append(words, count(n, "service")+" restarted")
	}
	if f.Rebooted != "" {
		words = append(words, "rebooted")
	}
	if len(words) == 0 {
		return "nothing installed"
	}
	return strings.Join(words, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// systemLine is what a status says of the operating system.
func systemLine(f *phase.OSFacts) string {
	if f == nil {
		return ""
	}
	var words []string
	if n := len(f.Packages); n > 0 {
		words = append(words, fmt.Sprintf("%s pending, %d of them security", count(n, "package"), f.Security()))
	}
	if n := len(f.Outdated.Services); n > 0 {
		words = append(words, count(n, "service")+" on old files")
	}
	if f.Interrupted != "" {
		words = append(words, "dpkg was interrupted")
	}
	if f.Reboot.Needed() {
		words = append(words, "a reboot is needed"+sinceDay(f.Reboot.Since)+": "+f.Reboot.Reason())
	}
	if len(words) == 0 {
		return systemIsCurrent
	}
	return strings.Join(words, "; ")
}

const systemIsCurrent = "up to date"
