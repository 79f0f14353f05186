// Package problem is how a check tells a person what is wrong: every finding at once, each with
// where it is, what was found, what is allowed, and what to type.
package problem

import "strings"

// Problem is one finding.
type Problem struct {
	Where   string `json:"where"`             // the key, file, host or page concerned, as its owner would name it
	Found   string `json:"found,omitempty"`   // what is there now; never a secret
	Allowed string `json:"allowed,omitempty"` // what would be accepted
	Hint    string `json:"hint,omitempty"`    // a command or a setting that can be typed as it stands
}

// String gives the finding in one line, without its hint.
func (p Problem) String() string {
	s := p.Where
	if p.Found != "" {
		s += ": " + p.Found
	}
	if p.Allowed != "" {
		s += " (allowed: " + p.Allowed + ")"
	}
	return s
}

// List is every finding of one check; as an error it is one line a finding.
type List []Problem

func (l List) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err is the list as an error, or nil when nothing was found.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}
