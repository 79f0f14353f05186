package phase

import (
	"context"
	"errors"
	"fmt"

	"townsquare/upgrade/problem"
)

// All is Apply and OS with one restart: packages are installed while the old version serves, and the
// database, or the host itself, restarts while the service is away for the upgrade. What goes wrong
// with the new version is put back as in Apply; packages stay. What the system still has to restart
// comes when the new version has proved itself.
func All() []Phase {
	return append(AllPlan(),
		Lock{},
		OSRepair{},
		Fetch{},
		Grant{},
		Backup{},
		OSDownload{},
		OSInstall{},
		OSDecide{},
		Migrate{},
		Stop{}, // the service is away from here
		Checkpoint{},
		AllDatabase{},
		Swap{},
		AllReboot{}, // in place of all restarts, if the host must; Resume goes on behind it, with the gate shut
		AllFacts{},
		Start{},
		Verify{},
		Open{}, // it is back
		Watch{},
		Commit{},
		OSProxy{},
		OSServices{},
		AllReview{},
		Timers{},
	)
}

// AllPlan is the beginning of All that changes nothing but apt's lists of what there is.
func AllPlan() []Phase { return []Phase{Facts{}, AllLook{}, AllPreflight{}} }

// Instead says that only one of the two has something to do, so that its own operation does it.
type Instead struct {
	Operation string // of Operations
	Why       string // what the other one lacks
}

func (e *Instead) Error() string { return e.Why }

// AllLook finds out what is pending.
type AllLook struct{}

// Title says what a person reads.
func (AllLook) Title() string { return "look for a version and for updates of the system" }

// Run fills op.Choice and op.OS; Done when neither has something to do, *Instead when one has.
func (AllLook) Run(ctx context.Context, op *Operation) error {
	return op.either(Choose{}.Run(ctx, op), OSLook{}.Run(ctx, op))
}

// AllPreflight looks for everything that would stop either.
type AllPreflight struct{}

// Title says what a person reads.
func (AllPreflight) Title() string { return "check that it can be done" }

// Run returns a problem.List.
func (AllPreflight) Run(ctx context.Context, op *Operation) error {
	return op.either(Preflight{}.Run(ctx, op), OSPreflight{}.Run(ctx, op))
}

// either joins what Mattermost's look and the system's said. With nobody there, what cannot be done
// does not hold the other up.
func (op *Operation) either(mattermost, system error) error {
	switch {
	case mattermost == nil && system == nil:
		return nil
	case mattermost == nil && (waiting(system) || op.Unattended):
		return &Instead{"apply", "only Mattermost has something to do now: " + why("the system", system)}
	case system == nil && (waiting(mattermost) || op.Unattended):
		return &Instead{"os", "only the system has something to do now: " + why("Mattermost", mattermost)}
	case errors.Is(mattermost, Done) && errors.Is(system, Done):
		return Done
	case waiting(mattermost) && waiting(system): // one of them at least until later
		if errors.Is(mattermost, Done) {
			return system
		}
		return mattermost
	}
	var found problem.List
	for _, err := range []error{mattermost, system} {
		var list problem.List
		switch {
		case err == nil || waiting(err):
		case errors.As(err, &list):
			found = append(found, list...)
		default:
			return err
		}
	}
	return found.Err()
}

// waiting says that a look found nothing to be done now.
func waiting(err error) bool { return errors.Is(err, Done) || errors.As(err, new(*Later)) }

func why(who string, err error) string {
	if errors.Is(err, Done) {
		return who + " is up to date"
	}
	return fmt.Sprintf("%s: %v", who, err)
}
