package ui

import (
	"fmt"
	"io"

	"townsquare/upgrade/phase"
)

// Ways shows the ways back, each with what would be lost on it.
func (p *Printer) Ways(plan phase.Preview) {
	p.Warnings(plan.Warnings)
	p.screen.above(func() { p.ways(p.err, plan) })
}

// WaysOnly is Ways as the result: nothing was chosen, and nothing is done.
func (p *Printer) WaysOnly(plan phase.Preview) error {
	p.Warnings(plan.Warnings)
	return p.Result(plan, func(w io.Writer) {
		if plan.Error != "" {
			p.refusal(w, plan)
			return
		}
		p.ways(w, plan)
	})
}

func (p *Printer) ways(w io.Writer, plan phase.Preview) {
	fmt.Fprintf(w, "%s:\n", p.paint(bold, fmt.Sprintf("The ways back from Mattermost %s to %s", plan.From, plan.To)))
	for _, way := range plan.Ways {
		fmt.Fprintf(w, "\n  --way %s\n", p.paint(bold, way.Name))
		fmt.Fprintf(w, "      %s\n", way.What)
		loss := p.paint(green, way.Lost())
		if !way.Keeps {
			loss = p.paint(red, way.Lost())
		}
		fmt.Fprintf(w, "      lost:  %s\n", loss)
		for _, warning := range way.Warnings {
			fmt.Fprintf(w, "      note:  %s\n", warning)
		}
		for _, problem := range way.Problems {
			fmt.Fprintf(w, "      %s\n", p.paint(yellow, "not possible: "+problem.Found))
			if problem.Hint != "" {
				fmt.Fprintf(w, "      %s\n", p.Complete(problem.Hint))
			}
		}
	}
	fmt.Fprintln(w)
}
