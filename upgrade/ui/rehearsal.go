package ui

import (
	"fmt"
	"io"
	"strings"

	"townsquare/upgrade/phase"
)

// Rehearsed ends a rehearsal: whether the upgrade would work, and what it would mean.
func (p *Printer) Rehearsed(r phase.Report) error {
	if r.ID == "" {
		p.Warnings(r.Warnings)
	}
	err := p.Result(r, func(w io.Writer) {
		fmt.Fprintln(w)
		fmt.Fprintln(w, p.rehearsed(r))
		if r.Trial != nil {
			p.trial(w, r)
		}
		p.problems(w, r.Problems)
	})
	p.Hint(r.Hint)
	if r.Outcome == phase.OutcomeDone && !r.UpToDate {
		apply := "apply --to " + r.To
		if strings.Contains(p.Given, "--retry-failed") {
			apply += " --retry-failed"
		}
		p.Hint("do it: " + p.Command(apply))
	}
	return err
}

func (p *Printer) rehearsed(r phase.Report) string {
	switch {
	case r.UpToDate:
		return p.paint(green, upToDate(r.From, r.Why)+"\nNothing was changed.")
	case r.Outcome == phase.OutcomeDone:
		return p.paint(green, fmt.Sprintf("The upgrade from %s to %s works here.", r.From, r.To)) + " Mattermost was not touched."
	case r.Outcome == phase.OutcomeRefused && r.Trial != nil:
		return p.paint(red, fmt.Sprintf("The upgrade from %s to %s would not work here.", r.From, r.To)) + " Mattermost was not touched."
	case r.Outcome == phase.OutcomeRefused:
		return p.paint(yellow, "The upgrade would be refused. Nothing was changed.")
	case r.Outcome == phase.OutcomeInterrupted:
		return p.paint(yellow, "Stopped on request. Nothing was changed.")
	default:
		return p.paint(red, "The rehearsal could not be done: "+firstLine(r.Error)) + "\nNothing was changed."
	}
}

// listed is how many of a kind are listed for a person.
const listed = 6

func (p *Printer) trial(w io.Writer, r phase.Report) {
	t := r.Trial
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w)
	row("on", "%s, %d MB", t.Source, t.Bytes>>20)
	switch {
	case t.Migrations > 0 && t.Migrating > 0:
		row("database", "%d migrations in %s; %d MB afterwards", t.Migrations, Took(t.Migrating), t.After>>20)
	case t.Migrations > 0:
		row("database", "%d migrations", t.Migrations)
	default:
		row("database", "no migrations known beforehand")
	}
	switch {
	case t.Downtime > 0 && t.Online:
		row("downtime", "about %s: the migrations run before, while %s serves", Took(t.Downtime), r.From)
	case t.Downtime > 0:
		row("downtime", "about %s", Took(t.Downtime))
		row("measured", "start %s, %s of it waiting for the processor; copy of the database %s", Took(t.Starting), Took(t.Waited), Took(t.Copying))
	}
	list := func(name string, values []string, none string) {
		if len(values) == 0 {
			row(name, "%s", none)
			return
		}
		more := ""
		if n := len(values) - listed; n > 0 {
			more = fmt.Sprintf(" and %d more (--json lists all)", n)
		}
		row(name, "%s%s", strings.Join(values[:min(len(values), listed)], ", "), more)
	}
	list("dropped", t.Dropped, "no setting")
	list("plugins", t.Plugins, "none fails to start")
	list("log", t.Errors, "no new errors")
	if t.Asked > 0 {
		row("meanwhile", "the server was asked %d times; %d failed, the slowest answer took %s", t.Asked, t.Failed, Took(t.Slowest))
	}
}
