package ui

import (
	"fmt"
	"io"
	"strings"
	"time"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/release"
)

// Check ends a check: what is installed and what could be.
func (p *Printer) Check(plan phase.Preview) error {
	p.Warnings(plan.Warnings)
	err := p.Result(plan, func(w io.Writer) {
		switch {
		case plan.Error != "":
			p.refusal(w, plan)
		case plan.UpToDate && plan.Waiting != "":
			fmt.Fprintln(w, p.paint(bold, fmt.Sprintf("An update waits for a person: Mattermost %s (installed: %s).", plan.Waiting, plan.From)))
		case plan.Exit == phase.ExitAttention:
			fmt.Fprintln(w, p.paint(yellow, noUpdate(plan.Reasons())))
		case plan.UpToDate && plan.System != nil:
			fmt.Fprintln(w, p.paint(green, "Mattermost "+plan.From+" and the system are up to date."))
			p.why(w, plan)
		case plan.UpToDate:
			fmt.Fprintln(w, p.paint(green, "Mattermost "+plan.From+" is up to date."))
			p.why(w, plan)
		default:
			fmt.Fprintln(w, p.paint(bold, available(plan)))
			p.why(w, plan)
			if plan.System != nil {
				fmt.Fprintln(w, p.paint(bold, "The system: "+plan.System.Summary()))
			}
		}
		p.pending(w, plan.System)
	})
	if plan.Error == "" && plan.Exit != phase.ExitAttention && (!plan.UpToDate || plan.Waiting != "") {
		look, do := Commands(plan.Operation)
		p.Hint("see what would happen: " + p.Command(look))
		p.Hint("do it: " + p.Command(do))
	}
	for _, h := range plan.Held {
		if plan.Exit == phase.ExitAttention && h.Kind == release.HeldFailed {
			p.Hint("see what installing it would do: " + p.Command("plan --to "+h.Version+" --retry-failed"))
		}
	}
	return err
}

// noUpdate returns why no update will be installed on a server that should not stay as it is.
func noUpdate(reasons string) string { return "No update will be installed: " + reasons + "." }

// Commands are what looks at an operation and what does it.
func Commands(operation string) (plan, apply string) {
	switch operation {
	case "all":
		return "plan --all", "apply --all"
	case "os":
		return "os plan", "os apply"
	case "rollback":
		return "rollback --show", "rollback"
	case "rehearse":
		return "rehearse", "rehearse"
	case "restore":
		return "backup list", "restore"
	}
	return "plan", "apply"
}

func available(plan phase.Preview) string {
	if plan.From == "" {
		return "Mattermost is not installed yet; it would be " + plan.Target + "."
	}
	kind := "An update"
	if plan.Security {
		kind = "A security update"
	}
	return fmt.Sprintf("%s is available: Mattermost %s (installed: %s).", kind, plan.Target, plan.From)
}

func (p *Printer) why(w io.Writer, plan phase.Preview) {
	if plan.Why != "" {
		fmt.Fprintln(w, "  "+plan.Why)
	}
	if len(plan.Path) > 0 {
		fmt.Fprintf(w, "  On the way: %s, then %s.\n", strings.Join(plan.Path, ", then "), plan.Target)
	}
	if plan.EndOf != "" {
		fmt.Fprintln(w, "  "+support(plan.Target, plan.EndOf, time.Now()))
	}
}

// support returns until when a version is, or was, supported.
func support(version, last string, now time.Time) string {
	if last < now.UTC().Format(time.DateOnly) {
		return version + " reached end of life on " + last + "."
	}
	return version + " is supported until " + last + "."
}

func (p *Printer) refusal(w io.Writer, plan phase.Preview) {
	if len(plan.Problems) == 0 {
		fmt.Fprintln(w, p.paint(red, "error: ")+paragraph(plan.Error))
		return
	}
	fmt.Fprintln(w, p.paint(yellow, "This has to be put right first. "+nothingElse(plan.Recovered)))
	p.problems(w, plan.Problems)
}

// Plan ends a plan: what would happen, step by step.
func (p *Printer) Plan(plan phase.Preview) error {
	p.Warnings(plan.Warnings)
	err := p.Result(plan, func(w io.Writer) {
		switch {
		case plan.Error != "":
			p.refusal(w, plan)
			return
		case plan.UpToDate:
			text := upToDate(plan.From, plan.Why) + "\n" + nothingElse(plan.Recovered)
			switch {
			case plan.Behind():
				text = noUpdate(plan.Reasons()) + "\n" + nothingElse(plan.Recovered)
			case plan.Operation == "all":
				text = strings.TrimSpace("Mattermost " + plan.From + " and the system are up to date. " + nothingElse(plan.Recovered) + " " + plan.Why)
			case plan.System != nil:
				text = strings.TrimSpace("The system is up to date. " + nothingElse(plan.Recovered) + " " + plan.Why)
			}
			fmt.Fprintln(w, p.paint(green, text))
			return
		}
		fmt.Fprintln(w, p.paint(bold, p.Title(plan)))
		p.why(w, plan)
		fmt.Fprintln(w)
		for i, s := range plan.Steps {
			sign := fmt.Sprintf("%2d", i+1)
			if s.Done {
				sign = p.paint(green, p.sign(" ✓", "ok"))
			}
			fmt.Fprintf(w, "  %s  %s\n", sign, s.Title)
			if s.What != "" {
				fmt.Fprintf(w, "      %s\n", p.paint(dim, s.What))
			}
		}
		after := "If a step fails, everything is rolled back."
		if plan.System != nil {
			after = "If a step fails, packages that are installed by then stay; everything else is rolled back."
		}
		fmt.Fprintln(w, "\n"+nothingElse(plan.Recovered)+" "+after)
	})
	if plan.Error != "" {
		p.Hint(plan.Hint)
	} else if !plan.UpToDate {
		_, do := Commands(plan.Operation)
		p.Hint("do it: " + p.Repeat(do))
	}
	return err
}

// Title says in one line what would be done.
func (p *Printer) Title(plan phase.Preview) string {
	if len(plan.Drift) > 0 {
		return "Put back what differs"
	}
	if plan.System != nil && plan.To == "" {
		return "Update the system: " + plan.System.Summary()
	}
	if plan.Restore != nil {
		return restoreTitle(plan)
	}
	text := fmt.Sprintf("Upgrade Mattermost from %s to %s", plan.From, plan.To)
	switch {
	case plan.From == "":
		text = "Install Mattermost " + plan.To
	case len(plan.Ways) > 0:
		text = fmt.Sprintf("Go back from Mattermost %s to %s", plan.From, plan.To)
	}
	if plan.System != nil {
		text += ", and update the system: " + plan.System.Summary()
	}
	return text
}

func restoreTitle(plan phase.Preview) string {
	r := plan.Restore
	text := fmt.Sprintf("Restore backup %s of %s", r.Backup, r.Since.Local().Format("2006-01-02 15:04"))
	switch {
	case r.Replaces && plan.From != "" && plan.From != plan.To:
		text += fmt.Sprintf(", replacing the current database and files, and Mattermost %s by %s", plan.From, plan.To)
	case r.Replaces:
		text += ", replacing the current database and files"
	}
	return text
}

// Restoring writes what a restore brings, and what of the current database is not in it.
func (p *Printer) Restoring(plan phase.Preview) {
	p.Say("%s", plan.Why)
	if plan.Restore == nil || !plan.Restore.Replaces {
		return
	}
	p.Say("Written since then, and not in it: %s. The current database and files are kept on the server only until the next upgrade or restore is finalized.",
		plan.Restore.Lost())
}

// Warnings writes what someone should look after.
func (p *Printer) Warnings(list []string) {
	for _, w := range list {
		p.line(p.paint(yellow, "! ") + w)
	}
}
