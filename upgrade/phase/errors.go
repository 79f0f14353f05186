package phase

import (
	"fmt"

	"townsquare/upgrade/problem"
)

// Refused says that the checks before the first mutation found problems: nothing was changed.
// A phase simply returns a problem.List; Run makes a Refused of it.
type Refused struct{ Problems problem.List }

func (e *Refused) Error() string { return e.Problems.Error() }
func (e *Refused) Unwrap() error { return e.Problems }

// RolledBack says that the operation failed after the service was stopped and that everything is
// as it was before.
type RolledBack struct{ Cause error }

func (e *RolledBack) Error() string { return e.Cause.Error() + " (rolled back)" }
func (e *RolledBack) Unwrap() error { return e.Cause }

// NotRolledBack says that putting back failed as well: a person has to look.
type NotRolledBack struct {
	Cause error // why the operation failed
	Undo  error // what putting back said
}

func (e *NotRolledBack) Error() string {
	return fmt.Sprintf("%v; and putting back failed: %v", e.Cause, e.Undo)
}
func (e *NotRolledBack) Unwrap() []error { return []error{e.Undo, e.Cause} } // what Undo says to type comes first

// BadVersion wraps a failure that is the new version's own fault (it exits, hangs, crash-loops,
// answers wrongly): Run puts the version on the skip list. A failure of the network or of the disk
// must not be wrapped, or a good version would be skipped for ever.
type BadVersion struct {
	Version string
	Cause   error
}

func (e *BadVersion) Error() string { return e.Cause.Error() }
func (e *BadVersion) Unwrap() error { return e.Cause }
