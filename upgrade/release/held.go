package release

import (
	"slices"
	"strings"
)

// Held is a version that is not taken, and why.
type Held struct {
	Version string `json:"version"`
	Kind    string `json:"kind"` // one of the Held constants
	Reason  string `json:"reason"`
}

// Why a version is held.
const (
	HeldSkipped  = "skipped"  // an operator decided so
	HeldFailed   = "failed"   // it failed, here or elsewhere, or was rolled back by hand
	HeldUnusable = "unusable" // it lacks what an installation needs, such as a checksum
	HeldRefused  = "refused"  // a rule forbids it
)

func (h Held) String() string {
	switch h.Kind {
	case HeldSkipped, HeldFailed:
		return h.Version + " is skipped (" + h.Reason + ")"
	case HeldUnusable:
		return h.Version + " cannot be installed yet (" + h.Reason + ")"
	}
	return h.Version + " cannot be installed (" + h.Reason + ")"
}

// hold notes a version that is not taken.
func (c *chooser) hold(v Version, kind, reason string) {
	if !slices.ContainsFunc(c.choice.Held, func(h Held) bool { return h.Version == v.String() }) {
		c.choice.Held = append(c.choice.Held, Held{Version: v.String(), Kind: kind, Reason: reason})
	}
}

// held lists which versions are not taken.
func (c *chooser) held() string {
	words := make([]string, len(c.choice.Held))
	for i, h := range c.choice.Held {
		words[i] = h.String()
	}
	return strings.Join(words, "; ")
}
