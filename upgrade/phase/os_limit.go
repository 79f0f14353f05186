package phase

import (
	"fmt"
	"slices"
	"time"

	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// How often in a row an unattended run may fail at the system, as for Mattermost, and after how long
// it tries again where nobody was without service: an archive that broke off one night must not keep
// security fixes away for good. A little less than a day, so that it is the next night.
const (
	triesInARow = 2
	tryAgain    = 20 * time.Hour
)

// enough says, in an unattended run, why what failed before is not tried again now: a *Later, or a
// problem.List where Mattermost was away each time, so that a person has to look first.
func (op *Operation) enough() error {
	failed := failures(op.Record.History)
	if !op.Unattended || len(failed) < triesInARow {
		return nil
	}
	last := failed[0]
	if !slices.ContainsFunc(failed[:triesInARow], func(f state.Finished) bool { return f.Outcome != OutcomeRolledBack }) {
		return problem.List{{Where: "the system", Found: fmt.Sprintf("its update failed %d times in a row, with Mattermost away: %s", len(failed), firstLines(last.Error, 1)),
			Allowed: "once; then an operator must look at it first", Hint: "upgrade os apply …"}}
	}
	if next := last.Ended.Add(tryAgain); time.Now().Before(next) {
		return &Later{Why: fmt.Sprintf("the system's update failed %d times in a row, and is tried once a day: %s", len(failed), firstLines(last.Error, 1)),
			Next: next.In(op.Config.Calendar().Window.Zone())}
	}
	return nil
}

// failures are the newest runs on the system up to the last that went well, the newest first.
func failures(history []state.Finished) (failed []state.Finished) {
	for _, f := range slices.Backward(history) {
		switch {
		case f.Operation != "os" && (f.Operation != "all" || f.Outcome != OutcomeDone): // where all fails it may be Mattermost's
		case f.Outcome != OutcomeFailed && f.Outcome != OutcomeRolledBack:
			return failed
		default:
			failed = append(failed, f)
		}
	}
	return failed
}
