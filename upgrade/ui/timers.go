package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"townsquare/upgrade/host"
)

// Timers is what a server does by itself.
type Timers struct {
	Timers     []host.TimerStatus `json:"timers"`
	Changed    []string           `json:"changed,omitempty"`
	Configured *bool              `json:"configured,omitempty"` // what the configuration says; nil: nothing
	Window     string             `json:"window,omitempty"`
}

// Timers writes them after what was done with them.
func (p *Printer) Timers(t Timers, what string) error {
	if t.Timers == nil {
		t.Timers = []host.TimerStatus{}
	}
	err := p.Result(t, func(w io.Writer) {
		switch {
		case len(t.Timers) == 0:
			fmt.Fprintln(w, "This server does nothing by itself: its timers are off.")
		case what == "enable" && len(t.Changed) == 0:
			fmt.Fprintln(w, p.paint(green, "The timers were on already. Nothing was changed."))
		case what == "enable" && len(t.Changed) < len(t.Timers):
			fmt.Fprintln(w, p.paint(green, "Enabled: "+strings.Join(t.Changed, ", ")+"."))
		case what == "enable":
			fmt.Fprintln(w, p.paint(green, "This server looks after itself from now on."))
		}
		p.timerTable(w, t.Timers)
	})
	switch {
	case what == "disable" && t.Configured != nil && *t.Configured:
		p.Hint("the next apply switches them on again, as the configuration says; for good: pulumi config set townsquare:timers false, pulumi up")
	case what == "enable" && t.Configured != nil && !*t.Configured:
		p.Hint("the next apply switches them off again, as the configuration says; for good: pulumi config set townsquare:timers true, pulumi up")
	case slices.ContainsFunc(t.Timers, func(t host.TimerStatus) bool { return t.Off() != "" }):
		p.Hint("enable what is off: " + p.Command("timers enable"))
	case len(t.Timers) == 0:
		p.Hint("let it: " + p.Command("timers enable"))
	}
	return err
}

func (p *Printer) timerTable(w io.Writer, timers []host.TimerStatus) {
	if len(timers) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tNEXT\tLAST\tRESULT")
	for _, t := range timers {
		ended := "well"
		switch {
		case t.Running:
			ended = "runs now"
		case t.Failed:
			ended = "failed: journalctl -u " + t.Service
		case t.Last.IsZero():
			ended = "-"
		}
		next, last := moment(t.Next), "never"
		if off := t.Off(); off != "" {
			next = "OFF: " + off
		} else if !t.Active {
			next = "off"
		}
		if !t.Last.IsZero() {
			last = moment(t.Last)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.Title, next, last, ended)
	}
	_ = table.Flush()
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04 MST")
}

// Told says that a message was taken; v is the same as JSON.
func (p *Printer) Told(v any, ways string) error {
	return p.Result(v, func(w io.Writer) {
		if ways == "" {
			fmt.Fprintln(w, "It is in the server's journal. Nobody else is told anything: townsquare:notify is not set.")
			return
		}
		fmt.Fprintln(w, p.paint(green, "It was taken by: "+ways+"."))
	})
}
