package release

import (
	"fmt"

	"townsquare/upgrade/problem"
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

// BackRules is the table for going back: from a version in From to one in To by the newer version's
// `db downgrade`. A copy of the database from before has none of these difficulties.
func BackRules() []Rule {
	const downgrade = "https://docs.mattermost.com/administration-guide/upgrade/downgrading-mattermost-server.html"
	return []Rule{
		{
			Kind: Refused, From: Span{Below: Version{8, 0, 0}},
			Why:    "its program has no db downgrade, which came with 8.0",
			Source: downgrade,
		}, {
			Kind: Refused, From: Span{Least: Version{11, 0, 0}}, To: Span{Below: Version{11, 0, 0}},
			Why:    "11.0 stores the password of everybody who logs in anew (PBKDF2), and older versions cannot read it: those people could not log in any more",
			Source: notes + " (v11.0)",
		},
	}
}

// Back says why a server on from must not go back to to by way of `db downgrade`; nothing means it may.
func Back(from, to Version) []problem.Problem {
	var found []problem.Problem
	for _, r := range BackRules() {
		if r.From.holds(from) && r.To.holds(to) {
			found = append(found, problem.Problem{Where: "db downgrade from " + from.String() + " to " + to.String(), Found: r.Why,
				Allowed: "another way back", Hint: "see " + r.Source})
		}
	}
	return found
}

// FarBack says whether the vendor advises against going back so far.
// Source: "Downgrade Mattermost Server": not recommended by more than one major version.
func FarBack(from, to Version) bool { return from.major-to.major > 1 }
