package ui

import (
	"fmt"
	"io"
	"strings"

	"townsquare/upgrade/notice"
	"townsquare/upgrade/phase"
)

// Notice ends the reading of a release notice: what it means for each server.
func (p *Printer) Notice(n notice.Notice, results []Result, exit int) error {
	named := []string{}
	for _, v := range n.Versions {
		named = append(named, v.String())
	}
	err := p.Result(struct {
		Kind     notice.Kind `json:"kind"`
		Versions []string    `json:"versions"`
		Security bool        `json:"security"`
		Stacks   []Result    `json:"stacks,omitempty"`
		Exit     int         `json:"exit"`
	}{n.Kind, named, n.Security, results, exit}, func(w io.Writer) {
		fmt.Fprintln(w, heard(n))
		for _, r := range results {
			fmt.Fprintln(w, "  "+r.Stack+": "+r.meaning())
		}
	})
	if exit == phase.ExitAvailable {
		p.Hint("see what would happen: " + p.Command("plan"))
		p.Hint("do it: " + p.Command("apply"))
	}
	return err
}

// Noticed says the same as Notice, as talk before what is done about it.
func (p *Printer) Noticed(n notice.Notice, results []Result) {
	p.Say("%s", heard(n))
	for _, r := range results {
		p.Say("  %s: %s", r.Stack, r.meaning())
	}
}

// heard is what the notice says, in our words: its own are nobody's to be trusted.
func heard(n notice.Notice) string {
	if len(n.Versions) == 0 {
		return fmt.Sprintf("This notice (%s) names no release of the server.", n.Kind)
	}
	named := make([]string, len(n.Versions))
	for i, v := range n.Versions {
		named[i] = v.String()
	}
	text := fmt.Sprintf("This notice (%s) names %s", n.Kind, strings.Join(named, ", "))
	if n.Security {
		text += ", and speaks of security fixes"
	}
	return text + "."
}

func (r Result) meaning() string {
	if r.Notice != "" {
		return r.Notice
	}
	return r.ended()
}
