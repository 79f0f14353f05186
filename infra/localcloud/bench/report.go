package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// seconds writes a duration as a person compares it.
func seconds(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func times(f float64) string {
	if f == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", f)
}

// table is one of Markdown's.
type table struct{ b *bytes.Buffer }

func (t table) head(columns ...string) {
	t.row(columns...)
	t.row(slices.Repeat([]string{"---"}, len(columns))...)
}

func (t table) row(cells ...string) {
	fmt.Fprintf(t.b, "| %s |\n", strings.Join(cells, " | "))
}

// markdown writes RESULTS.md: what was measured, and nothing else.
func (r *results) markdown() []byte {
	var b bytes.Buffer
	c := r.Computer
	fmt.Fprintf(&b, `# Measured

Written by `+"`make bench`"+` on %s. Every figure stands beside a baseline from the same run, on the same boot of the same
machine; compare ratios, not seconds.

The computer: %s, %d cores, %d MB of memory, Linux %s, %s. The server: a local machine (Debian 13 in systemd-nspawn) limited
to 8 GB of memory and those cores, which it shares with the visitors.
`, r.Updated.Format("2 January 2006, 15:04 UTC"), c.Processor, c.Cores, c.MemoryMB, c.Kernel, c.Disk)
	if from, to := r.commits(); from != "" {
		fmt.Fprintf(&b, "Measured at commit %s", from)
		if to != from {
			fmt.Fprintf(&b, " to %s", to)
		}
		fmt.Fprint(&b, ". The load of a row is this computer's, over a minute, when a measurement began: with other work\nbeside it everything takes longer, ours and the baseline. Stolen is the most of its processors' time that this computer, a\nvirtual one, did not get while people waited, as others on the same hardware had it.\n")
	}
	if n := r.left(); n > 0 {
		fmt.Fprintf(&b, "Of the %d measurements of downtime, %d in which that was more than %.0f %%, or in the restart beside them, stand in no figure of time; their\nrequests are counted.\n", len(r.Outages), n, 100*mostStolen)
	}
	r.writePromises(&b)
	r.writeDowntime(&b)
	r.writeFailures(&b)
	r.writeRehearsals(&b)
	r.writeRollback(&b)
	r.writeBackups(&b)
	r.writeNothing(&b)
	r.writeMemory(&b)
	r.writeProvision(&b)
	return b.Bytes()
}

// left is how many outages stand in no figure of time.
func (r *results) left() (n int) {
	for _, o := range r.Outages {
		if r.leftOut(o) {
			n++
		}
	}
	return n
}

// commits are the first and the last that something was measured at.
func (r *results) commits() (from, to string) {
	if len(r.Outages) == 0 {
		return "", ""
	}
	return r.Outages[0].Commit, r.Outages[len(r.Outages)-1].Commit
}

// loads are the least and the most of the load averages over a minute when these were measured.
func loads(all []outage) string {
	var found []float64
	for _, o := range all {
		if load, err := minute(o.Load); err == nil {
			found = append(found, load)
		}
	}
	switch {
	case len(found) == 0:
		return "–"
	case slices.Min(found) == slices.Max(found):
		return fmt.Sprintf("%.1f", found[0])
	}
	return fmt.Sprintf("%.1f to %.1f", slices.Min(found), slices.Max(found))
}

// stolen is the most that other virtual machines took of this one's processors in one of these.
func stolen(all []outage) string {
	most := -1.0
	for _, o := range all {
		if o.Stolen != nil {
			most = max(most, *o.Stolen)
		}
	}
	if most < 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100*most)
}

// minute is the load average over a minute.
func minute(load string) (f float64, err error) {
	_, err = fmt.Sscan(load, &f)
	return f, err
}

// atLoad says what else this computer had to do.
func atLoad(load string) string {
	if f, err := minute(load); err == nil {
		return fmt.Sprintf(" (This computer's load was %.1f when it began.)", f)
	}
	return ""
}

// sizesSeen are the sizes that something was measured at, the smallest first.
func (r *results) sizesSeen() []outage {
	var all []outage
	for _, o := range r.Outages {
		if !slices.ContainsFunc(all, func(x outage) bool { return x.Size == o.Size }) {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(x, y outage) int { return x.Posts - y.Posts })
	return all
}

func (r *results) writeDowntime(b *bytes.Buffer) {
	b.WriteString(`
## Downtime

The longest time without a good answer that a visitor saw who asks through HTTPS every 20 ms (database included), while a
crowd reads, posts, uploads and listens. Medians; in brackets how often it was measured; × is the median of the ratios to
` + "`systemctl restart mattermost`" + ` (the same version, warm, the process older than 15 s) on the same boot.
Before each, uploads are taken out of memory, where this computer may have more room for them than the server: an upgrade does
not read them, and the guide copies them. Beyond the smallest community memory is then filled, as that of a computer that has
served for long.

![Downtime against the size of the community](downtime.svg)

`)
	t := table{b}
	t.head("posts", "database", "files", "restart", "patch", "×", "minor, migrated beside the users", "×", "minor, behind a checkpoint", "×", "the vendor's guide, patch", "× of apply", "load", "stolen")
	for _, s := range r.sizesSeen() {
		row := []string{s.Size, fmt.Sprintf("%d MB", s.DatabaseMB), fmt.Sprintf("%.1f GB", float64(s.FilesMB)/1000)}
		cell := func(all []outage) string {
			if len(all) == 0 {
				return "–"
			}
			return fmt.Sprintf("%s (%d)", seconds(median(gaps(all))), len(all))
		}
		row = append(row, cell(r.of(floor, s.Size)))
		for _, how := range []string{toPatch, toMinor, toOffline} {
			all := r.of(how, s.Size)
			row = append(row, cell(all), times(ratio(all)))
		}
		guide, ours := r.of(byGuide, s.Size), median(gaps(r.of(toPatch, s.Size)))
		row = append(row, cell(guide))
		if ours > 0 && len(guide) > 0 {
			row = append(row, fmt.Sprintf("%.1f", float64(median(gaps(guide)))/float64(ours)))
		} else {
			row = append(row, "–")
		}
		at := func(o outage) bool {
			return o.Size != s.Size || strings.HasPrefix(o.How, rolledBack) || r.leftOut(o)
		}
		all := slices.DeleteFunc(slices.Clone(r.Outages), at)
		t.row(append(row, loads(all), stolen(all))...)
	}
	b.WriteString("\n")
	seen := r.sizesSeen()
	for _, how := range []string{toPatch, toMinor} {
		if len(seen) < 2 {
			break
		}
		least, most := median(gaps(r.of(how, seen[0].Size))), median(gaps(r.of(how, seen[len(seen)-1].Size)))
		if least > 0 && most > 0 {
			fmt.Fprintf(b, "`%s` at %s posts is %.2f times that at %s.\n", how, seen[len(seen)-1].Size, float64(most)/float64(least), seen[0].Size)
		}
	}
	largest := sizes[len(sizes)-1].name()
	if guide := r.of(byGuide, largest); ratio(guide) > 0 {
		fmt.Fprintf(b, "The vendor's guide at %s posts is %.0f times a bare restart on the same boot, and took from %s to %s.\n",
			largest, ratio(guide), seconds(slices.Min(gaps(guide))), seconds(slices.Max(gaps(guide))))
	}
	for _, o := range r.of(byGuideRead, "") {
		fmt.Fprintf(b, "Where somebody has just read every upload, so that they are in memory, it takes %s", seconds(o.Seen.Gap))
		if ours := median(gaps(r.of(toPatch, o.Size))); ours > 0 {
			fmt.Fprintf(b, ", × %.0f of `upgrade apply`", float64(o.Seen.Gap)/float64(ours))
		}
		fmt.Fprintf(b, " (a bare restart: %.0f).\n", ratio([]outage{o}))
	}
	for _, o := range r.of(toLeap, "") {
		fmt.Fprintf(b, "\n7.7.0 to 9.10.0 (20 migrations behind a checkpoint) at %s posts: %s, × %s.\n", o.Size, seconds(o.Seen.Gap), times(ratio([]outage{o})))
	}
	if theirs := median(gaps(r.of(byGuideMinor, largest))); theirs > 0 {
		fmt.Fprintf(b, "The vendor's guide to the minor at %s posts: %s", largest, seconds(theirs))
		if ours := median(gaps(r.of(toMinor, largest))); ours > 0 {
			fmt.Fprintf(b, ", × %.0f of `upgrade apply`", float64(theirs)/float64(ours))
		}
		b.WriteString(".\n")
	}
	copied := slices.Concat(r.of(toOffline, ""), r.of(toLeap, ""))
	slices.SortStableFunc(copied, func(x, y outage) int { return x.Posts - y.Posts })
	for _, o := range copied {
		if o.Foretold != "" {
			fmt.Fprintf(b, "\nAt %s posts, `%s` said before the stop: %q. It was %s in all, the copy %s of it, and the\nstart with its migrations %s.\n",
				o.Size, o.How, o.Foretold, seconds(o.Seen.Gap), seconds(took([]outage{o}, copying)), seconds(took([]outage{o}, starting)))
		}
	}
}

// The titles of two phases, as a run's log has them.
const (
	copying  = "keep a checkpoint"
	starting = "start the new version"
)

// took is how long a phase was, the median.
func took(all []outage, phase string) time.Duration {
	var found []time.Duration
	for _, o := range all {
		for _, p := range o.Phases {
			if p.What == phase {
				found = append(found, p.Took)
			}
		}
	}
	return median(found)
}

func (r *results) writeFailures(b *bytes.Buffer) {
	b.WriteString("\n## Failed requests\n\nOf all measurements together. Each reader keeps one connection; a listener that is cut off connects again at once.\n\n")
	t := table{b}
	t.head("", "visits", "failed", "reads", "posts", "uploads", "failed", "acknowledged and lost", "longest wait of a reader", "readers' connections", "websockets cut", "back within")
	for _, how := range []string{floor, toPatch, toMinor, toOffline, toLeap, byGuide, byGuideMinor, byGuideRead} {
		all := slices.DeleteFunc(slices.Clone(r.Outages), func(o outage) bool { return o.How != how })
		if len(all) == 0 {
			continue
		}
		var o outage
		var connections int
		for _, x := range all {
			o.Seen.Asked += x.Seen.Asked
			o.Seen.Failed += x.Seen.Failed
			o.Traffic.Reads += x.Traffic.Reads
			o.Traffic.Posts += x.Traffic.Posts
			o.Traffic.Uploads += x.Traffic.Uploads
			o.Traffic.Failed += x.Traffic.Failed
			o.Traffic.Cut += x.Traffic.Cut
			o.Traffic.Back = max(o.Traffic.Back, x.Traffic.Back)
			o.Traffic.Slowest = max(o.Traffic.Slowest, x.Traffic.Slowest)
			o.Lost += x.Lost
			connections = max(connections, x.Traffic.Connections)
		}
		t.row(how, fmt.Sprint(o.Seen.Asked), fmt.Sprint(o.Seen.Failed), fmt.Sprint(o.Traffic.Reads), fmt.Sprint(o.Traffic.Posts), fmt.Sprint(o.Traffic.Uploads),
			fmt.Sprint(o.Traffic.Failed), fmt.Sprint(o.Lost), seconds(o.Traffic.Slowest), fmt.Sprint(connections), fmt.Sprint(o.Traffic.Cut), seconds(o.Traffic.Back))
	}
}
