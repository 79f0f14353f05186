package phase

import (
	"errors"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
)

// The exit codes of upgrade, documented in its help. Code maps errors to them; nothing else does.
const (
	ExitDone          = 0
	ExitError         = 1
	ExitUsage         = 2
	ExitRefused       = 3
	ExitRolledBack    = 4
	ExitNotRolledBack = 5
	ExitAvailable     = 10 // check: an update is available
	ExitLocked        = 11
	ExitNotListed     = 12 // notice: it names a release that the vendor's pages do not list yet
	ExitAttention     = 13 // check, notice and status: nothing failed, and the server needs attention
	ExitInterrupted   = 130
)

// exitOf is the exit code of a run of which only its outcome is known.
func exitOf(outcome string) int {
	switch outcome {
	case OutcomeDone, OutcomeLater:
		return ExitDone
	case OutcomeRefused:
		return ExitRefused
	case OutcomeRolledBack:
		return ExitRolledBack
	case OutcomeNotRolledBack:
		return ExitNotRolledBack
	case OutcomeInterrupted:
		return ExitInterrupted
	default:
		return ExitError
	}
}

// Code is the exit code for an error of Run. What needs a person soonest wins: a failed rollback
// over an interruption, that over its rollback.
func Code(err error) int {
	var (
		notBack *NotRolledBack
		back    *RolledBack
		refused *Refused
		locked  *host.LockedError
		list    problem.List
		later   *Later
	)
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &later):
		return later.code()
	case errors.As(err, &notBack):
		return ExitNotRolledBack
	case errors.Is(err, ErrInterrupted):
		return ExitInterrupted
	case errors.As(err, &back):
		return ExitRolledBack
	case errors.As(err, &locked):
		return ExitLocked
	case errors.As(err, &refused), errors.As(err, &list):
		return ExitRefused
	default:
		return ExitError
	}
}
