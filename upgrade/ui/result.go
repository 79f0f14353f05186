package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
)

// Result is what a command found or did on one server: a plan, a report, or an error.
type Result struct {
	Stack  string         `json:"stack,omitempty"`
	Target string         `json:"-"` // the flags that named it, which its hints have
	Named  string         `json:"-"` // those of them that hold on any computer
	Canary bool           `json:"canary,omitempty"`
	Plan   *phase.Preview `json:"plan,omitempty"`
	Report *phase.Report  `json:"report,omitempty"`
	Notice string         `json:"notice,omitempty"`    // what a release notice means for it
	Held   string         `json:"not_begun,omitempty"` // why nothing was begun there
	Error  string         `json:"error,omitempty"`
	Hint   string         `json:"hint,omitempty"`
	Exit   int            `json:"exit"`
}

// Fleet ends a command on several servers: one table.
func (p *Printer) Fleet(results []Result, exit int) error {
	err := p.Result(struct {
		Stacks []Result `json:"stacks"`
		Exit   int      `json:"exit"`
	}{results, exit}, func(w io.Writer) {
		fmt.Fprintln(w)
		table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, strings.ToUpper(strings.Join(columns, "\t")))
		for _, r := range results {
			cells := r.cells()
			for i := range cells {
				cells[i] = short(printable.Line(p.redactor.String(cells[i]))) // half a secret would not be found any more
			}
			fmt.Fprintln(table, strings.Join(cells, "\t"))
		}
		_ = table.Flush()
	})
	for _, r := range results {
		if r.Hint != "" {
			p.Hint(r.Stack + ": " + r.Hint)
		}
	}
	return err
}

// short keeps a table narrow; the whole is among the lines above it.
func short(s string) string {
	const most = 72
	if letters := []rune(s); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return s
}

// columns are those of the table over several servers; cells fills them.
var columns = []string{"stack", "what", "result", "downtime", "took"}

func (r Result) cells() []string {
	name, away, took := r.Stack, "-", "-"
	if r.Canary {
		name += " (first)"
	}
	if run := r.Report; run != nil && run.ID != "" {
		if run.Downtime > 0 {
			away = Took(run.Downtime)
		}
		took = Took(run.Ended.Sub(run.Started))
	}
	return []string{name, r.what(), r.ended(), away, took}
}

// what is the step in question, such as "7.7.0 to 9.10.0".
func (r Result) what() string {
	from, to, still := "", "", false
	if run := r.Report; run != nil && run.Outcome == phase.OutcomeDone && !run.UpToDate && (run.Operation == "all" || run.Operation == "os") {
		return change(run.Finished)
	}
	switch {
	case r.Report != nil:
		from, to, still = r.Report.From, r.Report.To, r.Report.UpToDate
	case r.Plan != nil && r.Plan.UpToDate && r.Plan.Waiting != "":
		from, to = r.Plan.From, r.Plan.Waiting
	case r.Plan != nil:
		from, to, still = r.Plan.From, r.Plan.Target, r.Plan.UpToDate || r.Plan.Exit == phase.ExitAttention
	}
	switch {
	case from == "" && to == "":
		return "-"
	case still:
		return cmp.Or(from, to)
	case from == "":
		return to + " for the first time"
	case to == "" || to == from:
		return from
	}
	return from + " to " + to
}

// ended is how it ended, in a few words on one line.
func (r Result) ended() string {
	switch {
	case r.Held != "":
		return "not begun: " + r.Held
	case r.Error != "":
		return "error: " + firstLine(r.Error)
	case r.Report != nil:
		return reportWord(*r.Report)
	case r.Plan != nil:
		return planWord(*r.Plan)
	}
	return "-"
}

func reportWord(r phase.Report) string {
	switch {
	case r.Outcome == phase.OutcomeLater:
		return "later: " + firstLine(r.Why)
	case r.UpToDate && r.Behind != "":
		return "no update: " + r.Behind
	case r.UpToDate:
		return "up to date"
	case r.Outcome == phase.OutcomeDone:
		return "done"
	}
	return outcomeWord(r.Outcome) + ": " + firstLine(strings.TrimSuffix(r.Error, " (rolled back)"))
}

func planWord(plan phase.Preview) string {
	switch {
	case plan.Running != "":
		return "a run is in progress"
	case plan.Left != "":
		return "a run was left unfinished"
	case plan.Error != "":
		return "refused: " + firstLine(plan.Error)
	case plan.UpToDate && plan.Waiting != "":
		return "waits for a person"
	case plan.Closed:
		return "later: " + firstLine(plan.Why)
	case plan.Exit == phase.ExitAttention, plan.Behind():
		return "no update: " + plan.Reasons()
	case plan.UpToDate:
		return "up to date"
	}
	word := "an update is available"
	if plan.Security {
		word = "a security update is available"
	}
	if plan.Waiting != "" {
		word += "; " + plan.Waiting + " waits for a person"
	}
	return word
}

// Complete names the server in everything that the result says.
func (r Result) Complete() Result {
	document, err := json.Marshal(r)
	if err != nil {
		return r
	}
	named := r
	named.Plan, named.Report = nil, nil
	if json.Unmarshal(completeJSON(document, "", r.Target), &named) != nil {
		return r
	}
	return named
}
