package cli

import (
	"context"
	"errors"
	"time"

	"townsquare/upgrade/phase"
)

// What runs by itself waits for whoever is at work, and does not fail because of them: a backup that
// takes its time, a person with a configuration.
const (
	waitForLock = 2 * time.Hour
	askForLock  = 15 * time.Second
)

// patiently says, of an unattended command, whether to look again, after a pause: someone is at work.
func patiently(ctx context.Context, unattended bool, began time.Time, err error, exit int) (again bool, _ error) {
	if !unattended || !lockedOut(err, exit) || time.Since(began) > waitForLock {
		return false, nil
	}
	return true, pause(ctx, askForLock)
}

// lockedOut says that someone else is at work.
func lockedOut(err error, exit int) bool {
	var remote *remoteError
	return exit == phase.ExitLocked || errors.As(err, &remote) && remote.code == phase.ExitLocked
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// begins says whether a run follows from the plan.
func begins(plan phase.Preview) bool {
	return plan.Error == "" && plan.Running == "" && plan.Left == "" && !plan.UpToDate && !plan.Closed && plan.Failures < patience
}

// checkAlone is a check with nobody there: it waits until nobody else is at work, and the server
// tells people what was found.
func (a *app) checkAlone(ctx context.Context, f *targetFlags) (phase.Preview, error) {
	s, err := a.open(ctx, f)
	if err != nil {
		return phase.Preview{}, err
	}
	defer s.close()
	for began := time.Now(); ; {
		plan, err := a.look(ctx, s, "check", request{Options: phase.Options{ByItself: true}})
		if again, ended := patiently(ctx, true, began, err, plan.Exit); again {
			if ended != nil {
				return plan, ended
			}
			continue
		}
		if err != nil { // such as a vendor's page that cannot be read
			plan.Error, plan.Hint, plan.Exit = err.Error(), phase.Hint(err), phase.Code(err)
		}
		if plan.Exit == phase.ExitDone && !plan.UpToDate {
			plan.Exit = phase.ExitAvailable
		}
		judge(&plan)
		// What waits of the system is told with it.
		if system, err := s.examine(ctx, "plan", request{Operation: "os", Look: true}); err != nil {
			plan.Warnings = append(plan.Warnings, "the system's packages could not be looked at: "+err.Error())
		} else if system.Error != "" {
			plan.Warnings = append(plan.Warnings, "the system cannot be updated: "+system.Error)
		}
		// So does what was changed by hand, where the server knows how it should be.
		if _, err := s.examine(ctx, "plan", request{Operation: "repair", Look: true}); err != nil {
			plan.Warnings = append(plan.Warnings, "the server could not be compared with its stack: "+err.Error())
		}
		_, told := a.tell(ctx, s, tellRequest{Found: &plan})
		return plan, errors.Join(err, told)
	}
}
