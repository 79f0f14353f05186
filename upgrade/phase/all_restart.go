package phase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"townsquare/upgrade/state"
)

// AllDatabase restarts PostgreSQL while the service is away for its upgrade.
type AllDatabase struct{}

// Title says what a person reads.
func (AllDatabase) Title() string { return "restart the database" }

// Describe says it for a plan.
func (AllDatabase) Describe(*Operation) string {
	return "only if it runs old files; during the downtime of the upgrade"
}

// Run leaves the service to those who start the new version.
func (AllDatabase) Run(ctx context.Context, op *Operation) error {
	plan := op.Record.Run.System
	if plan.RebootFor != "" {
		return nil
	}
	if err := op.restartDatabase(ctx); err != nil {
		return err
	}
	plan.Service = false
	return op.Save()
}

// Undo sees to it that it runs; at a boot systemd does.
func (AllDatabase) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped || run.System == nil || op.Boot {
		return nil
	}
	for _, unit := range run.System.Database {
		if err := op.machine().Start(ctx, unit); err != nil {
			return err
		}
	}
	return nil
}

// AllReboot restarts the host when only that helps, with the new version in place: it starts at the
// boot, and the gate is shut until it is verified.
type AllReboot struct{}

// Title says what a person reads.
func (AllReboot) Title() string { return OSReboot{}.Title() }

// Describe says it for a plan.
func (AllReboot) Describe(op *Operation) string {
	return OSReboot{}.Describe(op) + "; the new version starts with it, behind the gate"
}

// Run does not wait for someone who works on packages, as OSReboot does: users wait already.
func (AllReboot) Run(ctx context.Context, op *Operation) error {
	if op.Record.Run.System.RebootFor == "" {
		return nil
	}
	who, err := op.machine().Holder()
	if err != nil {
		return err
	}
	if who != "" {
		return fmt.Errorf("the host must restart (%s), and %s works on packages", op.Record.Run.System.RebootFor, who)
	}
	return op.reboot(ctx)
}

// Undo is for a host that did not restart, or on which the new version did not work after it.
func (AllReboot) Undo(_ context.Context, op *Operation) error {
	if plan := op.Record.Run.System; plan != nil {
		plan.Rebooting = time.Time{}
	}
	return nil
}

// HoldBack holds traffic from a version that the boot starts and that is not verified. It is called
// before the service starts.
func HoldBack(ctx context.Context, run *state.Run) error {
	if !unverified(run) {
		return nil
	}
	return gate(run).Close(ctx)
}

// unverified reports whether the run can have a version in place to which no user was let in.
func unverified(run *state.Run) bool {
	return run.To != "" && run.Stopped && run.OpenedAt.IsZero() && !run.Committed
}

// AllFacts looks at the host again, behind a reboot: what was known before is gone.
type AllFacts struct{}

// Title says what a person reads.
func (AllFacts) Title() string { return "look at the host again" }

// Describe says it for a plan.
func (AllFacts) Describe(*Operation) string { return "only behind a restart of it" }

// Run fills op.Facts.
func (AllFacts) Run(ctx context.Context, op *Operation) error {
	if op.Facts != nil {
		return nil
	}
	return Facts{}.Run(ctx, op)
}

// AllReview is the end of what All does to the system.
type AllReview struct{}

// Title says what a person reads.
func (AllReview) Title() string { return "look at the system again" }

// Describe says it for a plan.
func (AllReview) Describe(*Operation) string {
	return "after a restart of the host: timers, units that failed, backups; old archives of packages are removed"
}

// Run only warns: everything is done.
func (AllReview) Run(ctx context.Context, op *Operation) error {
	var failed error
	if op.Record.Run.System.Rebooted {
		failed = compareBoots(ctx, op)
	}
	return errors.Join(failed, op.tidyPackages(ctx))
}
