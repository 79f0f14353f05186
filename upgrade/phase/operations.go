package phase

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sequence is what an operation does: All, in order, of which the first Looks change nothing.
type Sequence struct {
	All   []Phase
	Looks int
}

// Operations are all that can run on a host, by the name that is in the record, in the run's id and
// in its history. A run that was left unfinished is put back by the phases found here.
func Operations() map[string]Sequence {
	return map[string]Sequence{
		"apply":    {All: Apply(), Looks: len(Plan())},
		"all":      {All: All(), Looks: len(AllPlan())},
		"rehearse": {All: Rehearse(), Looks: len(lookAhead())},
		"backup":   {All: BackUp(), Looks: 2},
		"prune":    {All: PruneBackups(), Looks: 2},
		"restore":  {All: Restore(), Looks: 3},
		"verify":   {All: VerifyBackup(), Looks: 2},
		"rollback": {All: Rollback(), Looks: len(lookBack())},
		"os":       {All: OS(), Looks: len(OSPlan())},
		"repair":   {All: PutBack(), Looks: 1},
	}
}

// Find returns an operation by its name. One that is not there was begun by a newer version of upgrade.
func Find(operations map[string]Sequence, name string) (Sequence, error) {
	found, ok := operations[name]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(operations)), ", ")
		return found, fmt.Errorf("operation %q is unknown to this version of upgrade, which knows %s: use the version that began it", name, known)
	}
	return found, nil
}
