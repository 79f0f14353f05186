package release

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/problem"
)

// Tracks besides a minor version such as "11.7".
const (
	TrackESR    = "esr"    // the newest Extended Support Release; the default
	TrackLatest = "latest" // the newest release of any kind
)

// Policy is what the person in charge wants, and what happened on this host before.
type Policy struct {
	Edition Edition
	Arch    string            // AMD64 or ARM64; empty means AMD64
	Track   string            // TrackESR, TrackLatest or a minor version; empty means TrackESR
	Skip    map[string]string // versions that somebody decided against, and why
	Failed  map[string]string // versions that failed, and how; empty where they are to be tried again
	To      string            // this version and no other; empty means what Track says
	Reach   string            // how far a machine may go where nobody is asked; empty means a person decides
}

// How far a machine may go by itself, as Policy.Reach. A first installation, and a version that was
// asked for by number, are not held back.
const (
	ReachPatch = "patch" // to newer patch releases of the installed minor version
	ReachMinor = "minor" // to newer minor versions of the installed major one, too
	ReachAny   = "any"
)

// Choice is what a host should do next.
type Choice struct {
	Target   *Release  // where the policy leads; when UpToDate, what is installed, or nil if the archive lists it no more
	Next     *Release  // what to install now: Target, or the first stop-over of Path; nil when UpToDate
	Path     []Version // the stop-overs before Target, in order; empty when the way is direct
	UpToDate bool
	Waiting  *Release  // lies beyond Policy.Reach and is pending approval; Target is the newest before it
	Held     []Held    // newer versions of the track that are not taken, newest first
	Ended    time.Time // the last day of support of what is installed; zero while it is supported, or not known
	Why      string    // one sentence
	Warnings []string  // about this choice; those about the pages are the Catalog's
}

// ChoiceError says why no version can be chosen: everything that stands in the way at once.
type ChoiceError struct {
	Problems problem.List
	Unknown  bool // To or Track names a version that nobody publishes: a mistake in typing, not a refusal
}

func (e *ChoiceError) Error() string { return "choose a version: " + e.Problems.Error() }
func (e *ChoiceError) Unwrap() error { return e.Problems }

// skipped returns why a version is not to be taken, and what lifts that; nothing where it may be. What
// begins with a flag is to be added to the command that asked.
func (p Policy) skipped(v Version) (why, lift string) {
	if why, bad := p.Skip[v.String()]; bad { // nobody's --retry-failed was meant for what somebody decided
		return why, "remove it from skip in townsquare-policy.yaml, or where there is none in the server's upgrade.yaml"
	}
	if why, bad := p.Failed[v.String()]; bad {
		return why, "--to " + v.String() + " --retry-failed"
	}
	return "", ""
}

// chooser is one decision in the making.
type chooser struct {
	Policy
	current    Version
	candidates []Release // of the edition, for the architecture, newest first
	choice     Choice
	problems   problem.List
	unknown    bool
}

// Choose decides which release a host on current (zero: nothing installed) should take. It never
// chooses an older version or another edition. The error is a *ChoiceError.
func Choose(cat *Catalog, current Version, p Policy) (Choice, error) {
	p.Arch, p.Track = cmp.Or(p.Arch, AMD64), cmp.Or(p.Track, TrackESR)
	c := &chooser{Policy: p, current: current}
	c.validate()
	if len(c.problems) > 0 {
		return Choice{}, c.fail()
	}
	for _, r := range cat.Releases {
		if r.Edition == p.Edition {
			c.candidates = append(c.candidates, *r.forArch(p.Arch))
		}
	}
	slices.SortFunc(c.candidates, func(a, b Release) int { return b.Version.Compare(a.Version) })

	var target *Release
	if p.To != "" {
		target = c.explicit()
	} else {
		target = c.track()
	}
	if len(c.problems) > 0 {
		return Choice{}, c.fail()
	}
	if target != nil && p.To == "" && !c.reaches(target.Version) {
		c.choice = Choice{Waiting: target, Held: c.choice.Held}
		target = c.within()
	}
	c.settle(target)
	if len(c.problems) > 0 {
		return Choice{}, c.fail()
	}
	c.supportWarnings(time.Now())
	return c.choice, nil
}

func (c *chooser) fail() error { return &ChoiceError{Problems: c.problems, Unknown: c.unknown} }

func (c *chooser) problem(where, found, allowed, hint string) {
	c.problems = append(c.problems, problem.Problem{Where: where, Found: found, Allowed: allowed, Hint: hint})
}

func (c *chooser) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(c.choice.Warnings, text) {
		c.choice.Warnings = append(c.choice.Warnings, text)
	}
}

func (c *chooser) validate() {
	if c.Edition != Team && c.Edition != Enterprise {
		c.problem("edition", fmt.Sprintf("%q", c.Edition), "team or enterprise", "set edition to the one that is installed")
	}
	if c.Arch != AMD64 && c.Arch != ARM64 {
		c.problem("architecture", fmt.Sprintf("%q", c.Arch), "amd64 or arm64", "the vendor builds no server for another one")
	}
	if c.Track != TrackESR && c.Track != TrackLatest {
		if _, err := parseMinor(c.Track); err != nil {
			c.problem("track", fmt.Sprintf("%q", c.Track), "esr, latest or a minor version such as 11.7", "set track: esr")
		}
	}
	if c.To != "" {
		if _, err := Parse(c.To); err != nil {
			c.unknown = true
			c.problem("--to", fmt.Sprintf("%q", c.To), "a version of three numbers, such as 9.10.0", "see what there is: upgrade check …")
		}
	}
}

// explicit finds the version that was asked for by number.
func (c *chooser) explicit() *Release {
	to, _ := Parse(c.To) // validate has seen it
	i := slices.IndexFunc(c.candidates, func(r Release) bool { return r.Version == to })
	if to == c.current {
		if i >= 0 {
			return &c.candidates[i]
		}
		return nil
	}
	if to.Less(c.current) {
		return &Release{Version: to} // settle says why not, whether the archive still lists it or not
	}
	if i < 0 {
		c.unknown = true
		c.problem("--to", fmt.Sprintf("%s (%s) is not in the vendor's version archive, which lists the newest patch release of each minor version only", to, c.Edition),
			c.near(to), "see what there is: upgrade check …")
		return nil
	}
	r := &c.candidates[i]
	if r.Unusable != "" {
		c.problem(to.String(), r.Unusable, "a release with a checksum and a signature", "try again in a few hours, or choose another version")
	}
	if why, lift := c.skipped(to); why != "" {
		c.problem(to.String(), "it is on this host's skip list: "+why, "a version that is not", lift)
	}
	return r
}

// near names the versions next to one that does not exist.
func (c *chooser) near(v Version) string {
	var same, around []string
	below, above := "", ""
	for _, r := range c.candidates { // newest first
		switch {
		case r.Version.of() == v.of():
			same = append(same, r.Version.String())
		case v.Less(r.Version):
			above = r.Version.String()
		case below == "":
			below = r.Version.String()
		}
	}
	for _, s := range []string{below, strings.Join(same, ", "), above} {
		if s != "" {
			around = append(around, s)
		}
	}
	if len(around) == 0 {
		return "none: the archive lists no release of this edition"
	}
	return strings.Join(around, ", ")
}

// track finds the newest release the policy allows, or nil when there is none newer.
func (c *chooser) track() *Release {
	if want, err := parseMinor(c.Track); err == nil {
		return c.trackMinor(want)
	}
	if c.Track == TrackLatest {
		return c.newest(func(Release) bool { return true })
	}
	if r := c.newest(func(r Release) bool { return r.ESR }); r != nil {
		return r
	}
	if c.current.IsZero() {
		c.problem("track", "esr, but the archive lists no Extended Support Release for "+string(c.Edition)+" that can be installed", "latest or a minor version", "set track: latest")
		return nil
	}
	// Newer than every ESR: wait for the next one, but do not miss the patches of this version.
	r := c.newest(func(r Release) bool { return r.Version.of() == c.current.of() })
	if !slices.ContainsFunc(c.candidates, func(r Release) bool { return r.ESR && r.Version.of() == c.current.of() }) {
		c.warn("no Extended Support Release newer than %s is listed; it gets the patch releases of %s until one is", c.current, c.current.Minor())
	}
	return r
}

func (c *chooser) trackMinor(want minor) *Release {
	if !c.current.IsZero() && want.compare(c.current.of()) < 0 {
		c.problem("track", want.String()+" is older than the installed "+c.current.String(), c.current.Minor()+" or newer, esr, latest", "set track: "+c.current.Minor())
		return nil
	}
	in := func(r Release) bool { return r.Version.of() == want }
	if !slices.ContainsFunc(c.candidates, in) && want != c.current.of() {
		c.unknown = true
		c.problem("track", "the version archive lists no "+want.String()+" for "+string(c.Edition), c.near(Version{want.major, want.minor, 0}), "set track to the minor version of one of these")
		return nil
	}
	r := c.newest(in)
	if r == nil && want != c.current.of() {
		c.problem("track", "no release of "+want.String()+" can be installed now", "another track", strings.Join(c.choice.Warnings, "; "))
	}
	return r
}

// newest is the first candidate, not older than what is installed, that may be taken. A better one
// that may not be is named in a warning.
func (c *chooser) newest(wanted func(Release) bool) *Release {
	for i := range c.candidates {
		r := &c.candidates[i]
		if r.Version.Less(c.current) {
			return nil
		}
		if !wanted(*r) {
			continue
		}
		if r.Version == c.current {
			return r
		}
		if r.Unusable != "" {
			c.warn("%s is passed over: %s", r.Version, r.Unusable)
			c.hold(r.Version, HeldUnusable, r.Unusable)
			continue
		}
		if why, lift := c.skipped(r.Version); why != "" {
			if strings.HasPrefix(lift, "--") {
				lift = "upgrade apply --to " + r.Version.String() + " --retry-failed …"
			}
			c.warn("%s is passed over: it is on this host's skip list (%s); to take it all the same: %s", r.Version, why, lift)
			kind := HeldFailed
			if _, decided := c.Skip[r.Version.String()]; decided {
				kind = HeldSkipped
			}
			c.hold(r.Version, kind, why)
			continue
		}
		if refused := c.refused(r.Version); len(refused) > 0 {
			c.warn("%s is passed over: %s", r.Version, refused[0].Found)
			c.hold(r.Version, HeldRefused, refused[0].Found)
			continue
		}
		return r
	}
	return nil
}

// refused is what forbids going to a version at all, stop-overs aside.
func (c *chooser) refused(to Version) []problem.Problem {
	at := c.current
	for _, stop := range c.stops(to) {
		if stop.found == nil {
			break
		}
		at = stop.found.Version
	}
	var found []problem.Problem
	for _, r := range Rules() {
		if r.Kind != StopOver && r.forbids(at, to) {
			found = append(found, problem.Problem{Where: to.String(), Found: r.Why, Allowed: r.allowed(), Hint: "see " + r.Source})
		}
	}
	return found
}

// stop is a place where the way to a target must be broken.
type stop struct {
	rule  Rule
	found *Release // nil when the archive has nothing to stop at
}

// stops lists the stop-overs between what is installed and a target.
func (c *chooser) stops(to Version) []stop {
	var way []stop
	at := c.current
	for _, r := range Rules() {
		if r.Kind != StopOver || at.IsZero() || !r.forbids(at, to) {
			continue
		}
		s := stop{rule: r}
		for i := range c.candidates {
			v := &c.candidates[i]
			if v.Version.of() == r.Stop && v.Unusable == "" && at.Less(v.Version) && !r.From.holds(v.Version) {
				s.found, at = v, v.Version
				break
			}
		}
		way = append(way, s)
	}
	return way
}

// settle turns a target into the choice, or into the problems that stand in its way.
func (c *chooser) settle(target *Release) {
	c.choice.Target = target
	switch {
	case target == nil || target.Version == c.current:
		c.choice.UpToDate = true
		c.choice.Why = fmt.Sprintf("%s is the newest version that track %s offers", c.current, c.Track)
		if c.To != "" {
			c.choice.Why = c.current.String() + " is installed already"
		}
		if len(c.choice.Held) > 0 && c.To == "" {
			c.choice.Why = c.held()
		}
		if c.choice.Waiting != nil {
			c.choice.Why = c.waits()
		}
		return
	case target.Version.Less(c.current):
		c.problem("--to", target.Version.String()+" is older than the installed "+c.current.String(), "a newer version",
			"roll back to the version before: upgrade rollback …    # a database migrated by a newer version is not safe under an older one")
		return
	}
	c.problems = append(c.problems, c.refused(target.Version)...)
	for _, s := range c.stops(target.Version) {
		if s.found == nil {
			c.problem(fmt.Sprintf("from %s to %s", c.current, target.Version), s.rule.Why, "the newest "+s.rule.Stop.String()+" first",
				"the version archive lists no "+s.rule.Stop.String()+" that can be installed; see "+s.rule.Source)
			continue
		}
		v := s.found.Version
		if why, lift := c.skipped(v); why != "" {
			c.problem(v.String(), "this stop-over is on this host's skip list: "+why, "a version that is not", lift)
		}
		if c.choice.Next == nil {
			c.choice.Next = s.found
		}
		c.choice.Path = append(c.choice.Path, v)
	}
	if c.choice.Next == nil {
		c.choice.Next = target
	}
	c.choice.Why = c.why(target)
	if c.choice.Waiting != nil {
		c.choice.Why += "; " + c.waits()
	}
	c.targetWarnings(target)
}
