package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What is promised. Ratios are to a bare restart on the same boot, unless the text says otherwise.
const (
	mostOfFloor     = 1.3                     // a patch, or a minor migrated beside the users
	mostGrowth      = 1.15                    // the largest community beside the smallest
	leastOfGuide    = 30.0                    // the vendor's guide beside ours, in the largest community
	mostOffline     = 3 * time.Second         // behind a checkpoint, in the largest community
	mostRollback    = 2.0                     // × (found out + restart)
	mostMissed      = 1.5                     // × what was foreseen, or 1 / 1.5 of it
	mostForNothing  = 1500 * time.Millisecond // `upgrade apply` with nothing to do
	mostMemoryBytes = 64_000_000
)

// promise is one line of what is promised, beside what was measured.
type promise struct {
	what, wanted, measured string
	kept                   bool
}

// promises are those for which something was measured.
func (r *results) promises() []promise {
	var all []promise
	add := func(kept bool, what, wanted, measured string) {
		all = append(all, promise{what, wanted, measured, kept})
	}
	ways := []struct{ how, what string }{{toPatch, "a patch"}, {toMinor, "a minor, migrated beside the users"}}
	seen := r.sizesSeen()
	for _, way := range ways {
		for _, s := range seen {
			if f := ratio(r.of(way.how, s.Size)); f > 0 {
				add(f <= mostOfFloor, fmt.Sprintf("%s at %s posts, × restart", way.what, s.Size), fmt.Sprintf("≤ %g", mostOfFloor), times(f))
			}
		}
	}
	smallest, largest := sizes[0].name(), sizes[len(sizes)-1].name()
	for _, way := range ways {
		few, many := median(gaps(r.of(way.how, smallest))), median(gaps(r.of(way.how, largest)))
		if few > 0 && many > 0 {
			f := float64(many) / float64(few)
			add(f <= mostGrowth, fmt.Sprintf("%s at %s posts, × that at %s", way.what, largest, smallest), fmt.Sprintf("≤ %g", mostGrowth), times(f))
		}
	}
	for _, way := range []struct{ ours, guide, what string }{{toPatch, byGuide, "a patch"}, {toMinor, byGuideMinor, "the same minor"}} {
		guide := r.of(way.guide, largest)
		if ours, theirs := median(gaps(r.of(way.ours, largest))), median(gaps(guide)); ours > 0 && theirs > 0 {
			f := float64(theirs) / float64(ours)
			add(f >= leastOfGuide, fmt.Sprintf("the vendor's guide at %s posts, × %s", largest, way.what), fmt.Sprintf("≥ %g", leastOfGuide),
				fmt.Sprintf("%.0f (a bare restart: %.0f)", f, ratio(guide)))
		}
	}
	if all := r.of(toOffline, largest); len(all) > 0 {
		away := median(gaps(all))
		add(away <= mostOffline, fmt.Sprintf("a minor behind a checkpoint at %s posts", largest), "≤ "+seconds(mostOffline),
			fmt.Sprintf("%s (copy %s, start and migrations %s)", seconds(away), seconds(took(all, copying)), seconds(took(all, starting))))
	}
	var missed []float64
	for _, o := range r.rehearsed() {
		missed = append(missed, o.missedBy())
	}
	if len(missed) > 0 {
		slices.Sort(missed)
		middle, worst := missed[len(missed)/2], missed[len(missed)-1]
		add(worst <= mostMissed, "a rehearsal's foresight, × too long or too short, the worst", fmt.Sprintf("≤ %g", mostMissed),
			fmt.Sprintf("%s of %d (the median: %s)", times(worst), len(missed), times(middle)))
	}
	failed, counted := 0, 0
	for _, o := range r.Outages {
		if strings.HasPrefix(o.How, "apply") || strings.HasPrefix(o.How, rolledBack) {
			failed += o.Seen.Failed + o.Traffic.Failed + o.Lost
			counted += o.Seen.Asked + o.Traffic.Reads + o.Traffic.Posts + o.Traffic.Uploads
		}
	}
	if counted > 0 {
		add(failed == 0, "requests that failed or were lost, upgrades and rollbacks", "0", fmt.Sprintf("%d of %d", failed, counted))
	}
	var worst float64
	for _, o := range r.Outages {
		if strings.HasPrefix(o.How, rolledBack) {
			worst = max(worst, o.againstDetection())
		}
	}
	if worst > 0 {
		add(worst <= mostRollback, "rolling back a bad release, × (found out + restart), the worst", fmt.Sprintf("≤ %g", mostRollback), times(worst))
	}
	if n := r.Nothing; len(n.Took) > 0 {
		add(median(n.Took) <= mostForNothing, "`apply` with nothing to do, over SSH", "≤ "+seconds(mostForNothing), seconds(median(n.Took)))
		written := len(n.Writing) + len(n.Changed)
		add(written == 0, "what that writes on the host", "nothing", fmt.Sprintf("%d changes", written))
	}
	if peak := r.mostMemory(); peak > 0 {
		add(peak <= mostMemoryBytes, "the most memory that the upgrader held on the host", fmt.Sprintf("≤ %d MB", mostMemoryBytes/1_000_000), fmt.Sprintf("%.0f MB", float64(peak)/1e6))
	}
	return all
}

// againstDetection is the time that people waited for the old version, as a multiple of what cannot
// be saved: finding out that the new one does not work, and one restart.
func (o outage) againstDetection() float64 {
	return float64(o.Seen.Gap) / float64(max(o.Detected+o.Floor, time.Nanosecond))
}

// mostMemory is the most that the upgrader held in any phase, in bytes.
func (r *results) mostMemory() (most int64) {
	var peaks []peak
	for _, o := range r.Outages {
		peaks = slices.Concat(peaks, o.Peaks)
	}
	for _, one := range r.Backups {
		peaks = slices.Concat(peaks, one.Peaks)
	}
	for _, p := range peaks {
		most = max(most, p.Bytes)
	}
	return most
}

func (r *results) writePromises(b *bytes.Buffer) {
	all := r.promises()
	if len(all) == 0 {
		return
	}
	b.WriteString("\n## What is promised\n\n")
	t := table{b}
	t.head("", "promised", "measured", "")
	for _, p := range all {
		verdict := "kept"
		if !p.kept {
			verdict = "**missed**"
		}
		t.row(p.what, p.wanted, p.measured, verdict)
	}
}
