package release

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// why is the sentence that explains a choice.
func (c *chooser) why(target *Release) string {
	kind := "the newest release"
	switch {
	case c.To != "":
		kind = "the version asked for"
	case target.ESR && c.Track == TrackESR:
		kind = "the newest Extended Support Release"
	case c.Track != TrackLatest:
		kind = "the newest release of " + target.Version.Minor()
	}
	why := fmt.Sprintf("%s is %s", target.Version, kind)
	if target.Security {
		why += ", with security fixes"
	}
	if len(c.choice.Path) > 0 {
		steps := make([]string, len(c.choice.Path))
		for i, v := range c.choice.Path {
			steps[i] = v.String()
		}
		why += "; the way there leads over " + strings.Join(steps, " and ")
	}
	return why
}

// targetWarnings says what a person should know of the jump and of the target.
func (c *chooser) targetWarnings(target *Release) {
	if target.SHA256 == "" {
		c.warn("the vendor publishes no checksum for %s: its signature alone proves it genuine", target.Arch)
	}
	if c.current.IsZero() {
		return
	}
	from := c.current
	if n := len(c.choice.Path); n > 0 {
		from = c.choice.Path[n-1]
	}
	esr := map[minor]bool{}
	for _, r := range c.candidates {
		if r.ESR && from.of().compare(r.Version.of()) < 0 && r.Version.of().compare(target.Version.of()) < 0 {
			esr[r.Version.of()] = true
		}
	}
	if len(esr) > 0 {
		between := slices.SortedFunc(maps.Keys(esr), minor.compare)
		// Source: release policy, "Legacy Releases": one ESR to the next is supported and tested,
		// further is supported but not tested.
		c.warn("%s lies beyond the next Extended Support Release, %s: the vendor supports this jump but does not test it", target.Version, between[0])
	}
}

// supportWarnings says when support ended, or is about to end.
func (c *chooser) supportWarnings(now time.Time) {
	const soon = 45 * 24 * time.Hour
	if t := c.choice.Target; t != nil && !c.choice.UpToDate && !t.EndOfLife.IsZero() && now.After(t.EndOfLife.AddDate(0, 0, 1)) {
		c.warn("support for %s ended on %s", t.Version.Minor(), t.EndOfLife.Format(time.DateOnly))
	}
	if c.current.IsZero() {
		return
	}
	for _, r := range c.candidates {
		if r.Version.of() != c.current.of() || r.EndOfLife.IsZero() {
			continue
		}
		end := r.EndOfLife.AddDate(0, 0, 1) // the date is the last day of support
		switch {
		case now.After(end):
			c.warn("support for the installed %s ended on %s", c.current.Minor(), r.EndOfLife.Format(time.DateOnly))
			c.choice.Ended = r.EndOfLife
		case end.Sub(now) < soon:
			c.warn("support for the installed %s ends on %s", c.current.Minor(), r.EndOfLife.Format(time.DateOnly))
		}
		return
	}
}
