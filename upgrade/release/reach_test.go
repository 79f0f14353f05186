package release

import "testing"

// A machine goes as far as it may, and names what waits for a person.
func TestReach(t *testing.T) {
	for name, test := range map[string]struct {
		from            string
		policy          Policy
		target, waiting string // "" when up to date, and when nothing waits
	}{
		"a patch":                         {"11.7.9", Policy{Reach: ReachPatch}, "11.7.10", ""},
		"the next ESR waits":              {"10.11.23", Policy{Reach: ReachPatch}, "", "11.7.10"},
		"and a patch does not wait":       {"10.11.20", Policy{Reach: ReachPatch}, "10.11.23", "11.7.10"},
		"of a feature release, too":       {"10.12.1", Policy{Reach: ReachPatch}, "10.12.4", "11.7.10"},
		"a minor on the latest":           {"11.7.3", Policy{Reach: ReachMinor, Track: "latest"}, "11.10.1", "12.0.0"},
		"a minor is no patch":             {"11.7.3", Policy{Reach: ReachPatch, Track: "latest"}, "11.7.10", "12.0.0"},
		"a minor on the ESR":              {"11.1.0", Policy{Reach: ReachMinor}, "11.7.10", ""},
		"another track":                   {"10.11.20", Policy{Reach: ReachPatch, Track: "11.7"}, "10.11.23", "11.7.10"},
		"anything":                        {"10.11.23", Policy{Reach: ReachAny, Track: "latest"}, "12.0.0", ""},
		"a person":                        {"10.11.23", Policy{Track: "latest"}, "12.0.0", ""},
		"a word nobody knows is cautious": {"10.11.23", Policy{Reach: "x", Track: "latest"}, "", "12.0.0"},
		"a first installation":            {"", Policy{Reach: ReachPatch}, "11.7.10", ""},
		"a version asked for":             {"10.11.23", Policy{Reach: ReachPatch, To: "11.7.10"}, "11.7.10", ""},
		"a patch that failed":             {"10.11.20", Policy{Reach: ReachPatch, Skip: map[string]string{"10.11.23": "x"}}, "", "11.7.10"},
	} {
		t.Run(name, func(t *testing.T) {
			test.policy.Edition = Team
			choice := must(Choose(someReleases(), version(t, test.from), test.policy))(t)
			target, waiting := "", ""
			if !choice.UpToDate {
				target = choice.Next.Version.String()
			}
			if choice.Waiting != nil {
				waiting = choice.Waiting.Version.String()
			}
			if target != test.target || waiting != test.waiting {
				t.Errorf("goes to %q and %q waits; want %q and %q: %s", target, waiting, test.target, test.waiting, choice.Why)
			}
		})
	}
}
