package release

import (
	"fmt"
)

// Rule is one row of what the vendor says about going from one version to another.
type Rule struct {
	Kind   Kind
	From   Span   // versions it applies to; an empty span means any, and a first install too
	To     Span   // versions it forbids, or, for StopOver, those that lie behind the stop
	Stop   minor  // where to stop over; the newest patch release of it is meant
	Why    string // one clause, for a person
	Source string // where the vendor says so
}

// Kind is what a rule demands.
type Kind string

// The kinds of rules.
const (
	StopOver Kind = "stop-over" // another version must be installed, and started, in between
	Refused  Kind = "refused"   // this jump breaks the database or the server
	Avoid    Kind = "avoid"     // nobody should install this version at all
)

// Span is the versions from Least, included, to Below, excluded; a zero bound is open.
type Span struct{ Least, Below Version }

func (s Span) holds(v Version) bool {
	return !v.Less(s.Least) && (s.Below.IsZero() || v.Less(s.Below))
}

func (s Span) any() bool { return s == Span{} }

const (
	notes     = "https://docs.mattermost.com/administration-guide/upgrade/important-upgrade-notes.html"
	policyDoc = "https://docs.mattermost.com/product-overview/release-policy.html"
)

// Rules is the whole table. Stop-overs are in the order they are travelled.
func Rules() []Rule {
	return []Rule{
		{
			Kind: StopOver, From: Span{Below: Version{5, 37, 10}}, To: Span{Least: Version{6, 0, 0}}, Stop: minor{5, 37},
			Why:    "a 5.x server must be on 5.37.10 before anything newer, or its migrations do not complete",
			Source: notes + " (additional upgrade notes: from a 5.x release, 5.37.10 first)",
		}, {
			Kind: StopOver, From: Span{Below: Version{7, 1, 0}}, To: Span{Least: Version{7, 2, 0}}, Stop: minor{7, 1},
			Why:    "a server older than 7.1 must be on the 7.1 ESR before anything newer",
			Source: policyDoc + " (Legacy Releases: prior to v7.1, v7.1 ESR at a minimum)",
		}, {
			Kind: Avoid, To: Span{Least: Version{10, 5, 0}, Below: Version{10, 5, 2}},
			Why:    "10.5.0 and 10.5.1 have faults that 10.5.2 puts right",
			Source: notes + " (v10.5)",
		}, {
			Kind: Refused, From: Span{Least: Version{10, 11, 17}, Below: Version{10, 12, 0}}, To: Span{Least: Version{10, 12, 0}, Below: Version{11, 7, 3}},
			Why:    "10.11.17 and later 10.11 releases carry a migration that releases up to 11.7.2 trip over",
			Source: notes + " (v10.11.17: upgrade to v11.7.3 or later)",
		},
	}
}

func (r Rule) forbids(from, to Version) bool {
	return r.To.holds(to) && (r.From.any() || !from.IsZero() && r.From.holds(from))
}

func (r Rule) allowed() string {
	switch {
	case r.Kind == StopOver:
		return "the newest " + r.Stop.String() + " first"
	case r.To.Below.IsZero():
		return "a version below " + r.To.Least.String()
	default:
		return fmt.Sprintf("%s or later", r.To.Below)
	}
}
