package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

func (r *results) writeRollback(b *bytes.Buffer) {
	var all []outage
	for _, o := range r.Outages {
		if strings.HasPrefix(o.How, rolledBack) {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return
	}
	b.WriteString("\n## Rolling back by itself\n\nA release that does not work: how long people waited until the old version was back, against the time in which it was found out and one restart.\n\n")
	t := table{b}
	t.head("the release", "posts", "found out in", "restart", "away", "× (found out + restart)", "failed visits", "failed requests", "lost", "load")
	for _, o := range all {
		t.row(strings.TrimPrefix(o.How, rolledBack+" "), o.Size, seconds(o.Detected), seconds(o.Floor), seconds(o.Seen.Gap),
			times(o.againstDetection()), fmt.Sprint(o.Seen.Failed), fmt.Sprint(o.Traffic.Failed), fmt.Sprint(o.Lost), loads([]outage{o}))
	}
}

func (r *results) writeBackups(b *bytes.Buffer) {
	if len(r.Backups) == 0 {
		return
	}
	b.WriteString("\n## Backups\n\nThe largest community, to a repository on the same disk, encrypted; people are served meanwhile." + atLoad(r.Backups[0].Load) + "\n\n")
	t := table{b}
	t.head("", "took", "× the plain way")
	for _, one := range r.Backups {
		var f float64
		if one.Baseline > 0 {
			f = float64(one.Took) / float64(one.Baseline)
		}
		t.row(one.What, seconds(one.Took), times(f))
	}
}

func (r *results) writeNothing(b *bytes.Buffer) {
	n := r.Nothing
	if len(n.Took) == 0 {
		return
	}
	took, plain := median(n.Took), median(n.SSH)
	fmt.Fprintf(b, "\n## Nothing to do\n\n`upgrade apply` over SSH on a server that is up to date: %s (median of %d), beside %s for `ssh HOST sudo true` (× %s). ",
		seconds(took), len(n.Took), seconds(plain), times(float64(took)/float64(plain)))
	fmt.Fprintf(b, "%d SSH connection, %d bytes to the host and %d from it. ", n.Logins, n.In, n.Out)
	list := func(what string, all []string) {
		if len(all) == 0 {
			fmt.Fprintf(b, "%s: none. ", what)
			return
		}
		fmt.Fprintf(b, "%s: %d, such as `%s`. ", what, len(all), all[0])
	}
	list("Calls of the upgrader and its programs on the host that change a file (strace)", n.Writing)
	list("Files that are not as they were", n.Changed)
	b.WriteString(atLoad(n.Load) + "\n")
}

// writeMemory shows the most memory that the upgrader held in each phase, over everything measured.
func (r *results) writeMemory(b *bytes.Buffer) {
	type most struct {
		bytes int64
		where string
	}
	found := map[string]most{}
	var order []string
	note := func(where string, all []peak) {
		for _, p := range all {
			if !slices.Contains(order, p.Phase) {
				order = append(order, p.Phase)
			}
			if p.Bytes > found[p.Phase].bytes {
				found[p.Phase] = most{p.Bytes, where}
			}
		}
	}
	for _, o := range r.Outages {
		note(o.How+", "+o.Size, o.Peaks)
	}
	for _, one := range r.Backups {
		note(one.What, one.Peaks)
	}
	if len(order) == 0 {
		return
	}
	b.WriteString("\n## Memory\n\nThe most that the upgrader held on the host in each phase (VmHWM), over everything measured here.\n\n")
	t := table{b}
	t.head("phase", "MB", "in")
	for _, phase := range order {
		t.row(phase, fmt.Sprintf("%.0f", float64(found[phase].bytes)/1e6), found[phase].where)
	}
}

func (r *results) writeProvision(b *bytes.Buffer) {
	if len(r.Provision) == 0 {
		return
	}
	b.WriteString("\n## From `pulumi up` to the first login\n" + atLoad(r.Provision[0].Load) + "\n\n")
	t := table{b}
	t.head("", "took", "share", "")
	whole := r.Provision[len(r.Provision)-1].Took
	for _, one := range r.Provision {
		share := fmt.Sprintf("%.0f %%", 100*float64(one.Took)/float64(max(whole, time.Nanosecond)))
		t.row(one.What, seconds(one.Took), share, one.Note)
	}
}
