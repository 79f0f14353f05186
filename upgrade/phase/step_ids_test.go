package phase

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"townsquare/upgrade/internal/golden"
)

// The golden file is what records on servers hold: a line may be added to it, none be changed.
func TestStepIDs(t *testing.T) {
	var list strings.Builder
	for _, name := range slices.Sorted(maps.Keys(Operations())) {
		var ids []string
		for _, p := range Operations()[name].All {
			if slices.Contains(ids, p.ID()) {
				t.Errorf("%s: two steps have the ID %q: a run could be continued behind the wrong one", name, p.ID())
			}
			ids = append(ids, p.ID())
		}
		fmt.Fprintf(&list, "%s: %s\n", name, strings.Join(ids, " "))
	}
	golden.Check(t, "step-ids.golden", list.String())
}
