package phase

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// What nobody wants is never taken; what failed, here or elsewhere, is when someone asks for it.
func TestPolicySkips(t *testing.T) {
	op := &Operation{Facts: &mattermost.Installation{}, Record: &state.State{Bad: map[string]state.Bad{"9.10.2": {Reason: "it hung"}}},
		Config: state.Config{Skip: map[string]string{"9.10.0": "breaks LDAP"}, Elsewhere: map[string]string{"9.10.1": "it failed on east"}}}
	for retry, want := range map[bool]string{false: "9.10.1 9.10.2", true: ""} {
		op.Retry = retry
		p := policy(op)
		if got := strings.Join(slices.Sorted(maps.Keys(p.Failed)), " "); got != want || len(p.Skip) != 1 {
			t.Errorf("with retry %v, %s are skipped beside %v; want %s", retry, got, p.Skip, want)
		}
	}
}

// A check for machines stops where a machine would; a person's goes as far as the track does.
func TestPolicyReach(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    string
	}{{Options{}, ""}, {Options{ByItself: true}, release.ReachPatch}, {Options{Unattended: true}, release.ReachPatch}} {
		op := &Operation{Facts: &mattermost.Installation{}, Record: &state.State{}, Options: c.options}
		if got := policy(op).Reach; got != c.want {
			t.Errorf("%+v reaches %q, want %q", c.options, got, c.want)
		}
	}
}
