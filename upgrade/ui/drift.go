package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/phase"
)

// Differences says, before a person is asked, what a repair would put back, and what it leaves.
func (p *Printer) Differences(list []drift.Difference) {
	var text strings.Builder
	p.differences(&text, list, true)
	for line := range strings.Lines(text.String()) {
		p.line(strings.TrimRight(line, "\n"))
	}
}

// DriftOnly says what differs, and nothing is put back.
func (p *Printer) DriftOnly(plan phase.Preview) error {
	p.Warnings(plan.Warnings)
	err := p.Result(plan, func(w io.Writer) {
		switch {
		case plan.Error != "":
			p.refusal(w, plan)
		case len(plan.Drift) == 0:
			fmt.Fprintln(w, p.paint(green, "The server is as its stack says."))
		default:
			p.differences(w, plan.Drift, true)
		}
	})
	if slices.ContainsFunc(plan.Drift, func(d drift.Difference) bool { return d.Left == "" }) {
		p.Hint("put it back: " + p.Command("repair"))
	}
	return err
}

// differences lists them, those that are put back first; with their lines, if wanted.
func (p *Printer) differences(w io.Writer, list []drift.Difference, lines bool) {
	var left []drift.Difference
	head := p.paint(yellow, "Not as the stack says:")
	for _, d := range list {
		if d.Left != "" {
			left = append(left, d)
			continue
		}
		if head != "" {
			fmt.Fprintln(w, head)
		}
		head = ""
		fmt.Fprintln(w, "  "+firstLine(d.String()))
		if lines {
			p.changed(w, d.Lines)
		}
	}
	if len(left) == 0 {
		return
	}
	fmt.Fprintln(w, p.paint(yellow, "Not the stack's, and left as it is:"))
	for _, d := range left {
		fmt.Fprintf(w, "  %s (%s)\n", firstLine(d.String()), d.Left)
		if d.Risk != "" {
			fmt.Fprintln(w, "    "+p.paint(red, "RISK: "+d.Risk))
		}
		if d.Hint != "" {
			fmt.Fprintln(w, "    "+p.paint(dim, p.Complete(d.Hint)))
		}
	}
}

// mostLines of a text are shown; the whole is in the JSON.
const mostLines = 40

// changed shows what a repair changes in a text, without the two lines above it.
func (p *Printer) changed(w io.Writer, diff string) {
	n := 0
	for line := range strings.Lines(diff) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ ") || strings.HasPrefix(line, `\ `) {
			continue
		}
		if n++; n > mostLines {
			fmt.Fprintln(w, "      "+p.paint(dim, "and more"))
			return
		}
		switch line[:1] {
		case "+":
			line = p.paint(green, line)
		case "-":
			line = p.paint(red, line)
		default:
			line = p.paint(dim, line)
		}
		fmt.Fprintln(w, "      "+line)
	}
}

// Repaired ends a repair.
func (p *Printer) Repaired(r phase.Report) error {
	if r.ID == "" { // of no run, so nothing was said yet
		p.Warnings(r.Warnings)
	}
	err := p.Result(r, func(w io.Writer) {
		fmt.Fprintln(w)
		fmt.Fprintln(w, p.repairHeadline(r))
		for _, what := range r.Repaired {
			fmt.Fprintln(w, "  "+firstLine(what))
		}
		if r.Outcome == phase.OutcomeDone {
			p.differences(w, r.Drift, false)
		}
		p.problems(w, r.Problems)
	})
	if r.Hint != "" {
		p.Hint(r.Hint)
	}
	if r.Outcome == phase.OutcomeNotRolledBack {
		p.Hint("see how the server is: " + p.Command("status"))
	}
	return err
}

func (p *Printer) repairHeadline(r phase.Report) string {
	reason := strings.TrimSuffix(firstLine(r.Error), " (rolled back)")
	switch {
	case r.UpToDate && len(r.Drift) == 0:
		return p.paint(green, "The server is as its stack says. "+nothingElse(r.Recovered))
	case r.UpToDate:
		return p.paint(green, "There is nothing to repair. "+nothingElse(r.Recovered))
	case r.Outcome == phase.OutcomeDone:
		return p.paint(green, "Put back: "+count(len(r.Repaired), "difference")+".")
	case r.Outcome == phase.OutcomeRefused:
		return p.paint(yellow, "Nothing can be repaired yet. "+nothingElse(r.Recovered))
	case r.Outcome == phase.OutcomeInterrupted:
		return p.paint(yellow, "Stopped on request. Files are as they were.")
	case r.Outcome == phase.OutcomeNotRolledBack:
		return p.paint(red, "It did not work, and the rollback of the files failed: "+paragraph(r.Error))
	default:
		return p.paint(red, "It did not work, and files are as they were: "+reason)
	}
}
