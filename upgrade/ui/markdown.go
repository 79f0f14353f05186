package ui

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
)

// Keep appends the results to the files that the person asked for: as Markdown, for a job's summary
// or an issue, and as key=value lines, for the next step of a script.
func (p *Printer) Keep(results []Result, exit int) error {
	for _, f := range []struct{ path, text string }{
		{p.Markdown, p.markdown(results)},
		{p.Outputs, outputs(results, exit)},
	} {
		if f.path == "" {
			continue
		}
		file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = file.WriteString(p.redactor.String(f.text))
		if e := file.Close(); err == nil {
			err = e
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	return nil
}

// system stands among the versions that are done for packages and restarts.
const system = "system"

// outputs are the lines for scripts. Values are versions and numbers, never words of a server, and no
// value can begin a line of its own.
func outputs(results []Result, exit int) string {
	var pending, waiting, done []string
	add := func(list *[]string, version string) {
		if (release.IsVersion(version) || version == system) && !slices.Contains(*list, version) {
			*list = append(*list, version)
		}
	}
	for _, r := range results {
		if plan := r.Plan; plan != nil {
			if plan.Newer && !plan.UpToDate {
				add(&pending, plan.Target)
			}
			add(&pending, plan.Waiting)
			add(&waiting, plan.Waiting)
		}
		if run := r.Report; run != nil {
			if run.Outcome == phase.OutcomeDone && !run.UpToDate {
				add(&done, cmp.Or(run.To, system)) // its packages and restarts, which have no version
			}
			add(&waiting, run.Waiting)
		}
	}
	return fmt.Sprintf("pending=%s\nwaiting=%s\ndone=%s\nexit=%d\n",
		strings.Join(pending, " "), strings.Join(waiting, " "), strings.Join(done, " "), exit)
}

// markdown is a table of all, and below it what there is to say about each.
func (p *Printer) markdown(results []Result) string {
	var b strings.Builder
	b.WriteString("| " + strings.Join(columns, " | ") + " |\n" + strings.Repeat("| --- ", len(columns)) + "|\n")
	for _, r := range results {
		cells := r.cells()
		for i := range cells {
			cells[i] = marked(cells[i])
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	for _, r := range results {
		r.about(&b, len(results) > 1)
	}
	b.WriteString("\n")
	return b.String()
}

// about is what there is to say about one server below the table.
func (r Result) about(b *strings.Builder, several bool) {
	var text strings.Builder
	paragraph := func(words string) {
		if words != "" {
			text.WriteString("\n" + marked(r.hint(words)) + "\n")
		}
	}
	bullets := func(list []string) {
		for _, words := range list {
			text.WriteString("\n- " + marked(r.hint(words)) + "\n")
		}
	}
	paragraph(r.Notice)
	paragraph(r.Error)
	switch {
	case r.Report != nil:
		paragraph(cmp.Or(r.Report.Error, r.Report.Why))
		bullets(r.Report.Warnings)
		r.problemsMarked(&text, r.Report.Problems)
		timesMarked(&text, *r.Report)
	case r.Plan != nil:
		paragraph(cmp.Or(r.Plan.Error, r.Plan.Why))
		if r.Plan.EndOf != "" && !r.Plan.UpToDate {
			paragraph(r.Plan.Target + " is supported until " + r.Plan.EndOf + ".")
		}
		bullets(r.Plan.Warnings)
		r.problemsMarked(&text, r.Plan.Problems)
		r.stepsMarked(&text, r.Plan.Steps)
	}
	if text.Len() == 0 {
		return
	}
	if several {
		fmt.Fprintf(b, "\n#### %s\n", marked(r.Stack))
	}
	b.WriteString(text.String())
	if r.Hint != "" {
		b.WriteString("\n" + marked(r.hint(r.Hint)) + "\n")
	}
}

// hint returns a text with its command lines as readers on other computers type them.
func (r Result) hint(text string) string {
	if text = Complete(text, "", r.Named); r.Target != "" {
		text = strings.ReplaceAll(text, r.Target, r.Named)
	}
	return text
}

func (r Result) problemsMarked(b *strings.Builder, list []problem.Problem) {
	for _, f := range list {
		fmt.Fprintf(b, "\n- **%s**: %s", marked(f.Where), marked(f.Found))
		if f.Allowed != "" {
			fmt.Fprintf(b, " (allowed: %s)", marked(f.Allowed))
		}
		if f.Hint != "" {
			fmt.Fprintf(b, "; do: %s", marked(r.hint(f.Hint)))
		}
		b.WriteString("\n")
	}
}

func timesMarked(b *strings.Builder, r phase.Report) {
	if len(r.Phases) == 0 {
		return
	}
	b.WriteString("\n| step | took |\n| --- | ---: |\n")
	for _, t := range r.Phases {
		fmt.Fprintf(b, "| %s | %s |\n", marked(t.Title), Took(t.Took))
	}
	if r.From != "" {
		away := "downtime"
		if r.Down {
			away = stillDown
		}
		fmt.Fprintf(b, "| **%s** | **%s** |\n", away, Took(r.Downtime))
	}
}

func (r Result) stepsMarked(b *strings.Builder, steps []phase.Step) {
	for i, s := range steps {
		fmt.Fprintf(b, "\n%d. %s", i+1, marked(s.Title))
		if s.Done {
			b.WriteString(" (looked at)")
		}
		if s.What != "" {
			b.WriteString(": " + marked(r.hint(s.What)))
		}
		b.WriteString("\n")
	}
}

// special is what Markdown, GitHub's mentions and HTML give a meaning. What a server says must not
// become a link, a mention or a row of the table.
var special = strings.NewReplacer("&", "&amp;", "\\", "&#92;", "://", "&#58;//", "www.", "www&#46;", "~", "\\~", "$", "\\$", "<", "&lt;", ">", "&gt;", "|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_",
	"[", "\\[", "]", "\\]", "@", "&#64;", "#", "\\#")

func marked(s string) string { return special.Replace(strings.TrimSpace(printable.Line(s))) }
