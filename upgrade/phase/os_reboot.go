package phase

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// OSReboot restarts the host when only that helps. The run ends here in this boot; at the next one
// the host's recovery unit starts it again, and Resume goes on behind this phase.
type OSReboot struct{}

// Title says what a person reads.
func (OSReboot) Title() string { return "restart the host" }

// Describe says it for a plan.
func (OSReboot) Describe(op *Operation) string {
	switch {
	case op.OS.Later != "":
		return op.OS.Later
	case op.OS.Reboot.Needed():
		return op.OS.Reboot.Reason()
	default:
		return "only if something asks for it, such as a new kernel, and within the window"
	}
}

// rebootTimeout is how long a host may take to shut down before the run calls it stuck.
const rebootTimeout = 10 * time.Minute

// Run stops the service cleanly first: PostgreSQL and Mattermost need not be killed at the end.
func (OSReboot) Run(ctx context.Context, op *Operation) error {
	if op.Record.Run.System.RebootFor == "" {
		return nil
	}
	if err := op.machine().Await(ctx, op.blocked); err != nil {
		return err
	}
	if err := stopService(ctx, op); err != nil {
		return err
	}
	return op.reboot(ctx)
}

// reboot restarts the host, and does not return before that, unless it fails.
func (op *Operation) reboot(ctx context.Context) (err error) {
	plan, s := op.Record.Run.System, op.machine()
	if plan.Failed, err = s.Failed(ctx); err != nil {
		return err
	}
	if plan.Timers, err = s.Timers(ctx); err != nil {
		return err
	}
	plan.Rebooting = time.Now().UTC()
	op.Record.Reboot = &state.Reboot{At: plan.Rebooting, Why: plan.RebootFor}
	if err := op.Save(); err != nil {
		plan.Rebooting = time.Time{}
		return err
	}
	op.Emit(Event{Kind: Leaving, Text: "the host restarts: " + plan.RebootFor})
	if err := s.StartReboot(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rebootTimeout):
		return fmt.Errorf("the server was told to restart and did not within %s", printable.Duration(rebootTimeout))
	}
}

// Undo starts the service again on a host that did not restart, or on one whose restart it did not
// survive.
func (OSReboot) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if run.System == nil || run.System.RebootFor == "" {
		return nil
	}
	run.System.Rebooting = time.Time{}
	return Stop{}.Undo(ctx, op)
}

// Resume continues the run whose reboot has just happened, behind the step that asked for it. A run
// that cannot be continued there is undone.
func Resume(ctx context.Context, phases []Phase, op *Operation) (Report, error) {
	return report(ctx, op, func(ctx context.Context, l *log, r *Report) error {
		free, err := op.Lock(ctx, "go on with "+op.ID, func(err error) { op.cancel(err) })
		if err != nil {
			return err
		}
		op.release = free
		if op.Reload != nil {
			if op.Record, err = op.Reload(); err != nil {
				return err
			}
		}
		run := op.Record.Run
		if run == nil || run.ID != op.ID {
			return fmt.Errorf("run %s is not in the record: there is nothing to continue", op.ID)
		}
		if err := knowUser(ctx, run); err != nil {
			return err
		}
		l.times, r.Started = run.Phases, run.Started
		if run.Stopped {
			l.down = run.StoppedAt
		}
		if !run.Rebooting() || !rebooted(run) {
			return back(ctx, phases, op, fmt.Errorf("run %s did not ask for a reboot, or the server has not rebooted since", op.ID))
		}
		at, took := indexOf(phases, run.Step), time.Since(run.System.Rebooting)
		run.System.Rebooting, run.System.Rebooted = time.Time{}, true
		run.PID, run.BootID = host.Process()
		run.Ticks = host.Ticks()
		if err := op.Save(); err != nil {
			return back(ctx, phases, op, err)
		}
		if at < 0 {
			err = back(ctx, phases, op, fmt.Errorf("run %s cannot be continued after the step %q: this version of upgrade does not know it", op.ID, run.Step))
		} else {
			op.current = phases[at]
			l.took(op.current, took)
			op.Emit(Event{Kind: End, Took: took})
			err = forward(ctx, phases, at+1, op, l, r)
		}
		op.judge(ctx)
		return err
	})
}

// judge forgets a reboot that helped, however the run behind it ended: the record names one that did
// not, so that it is not done again and again.
func (op *Operation) judge(ctx context.Context) {
	if op.OS == nil { // the run did not come to compareBoots
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := lookAtSystem(ctx, op); err != nil {
			op.Warn("whether the restart of the host helped is not known: %v", err)
			return
		}
	}
	if !op.OS.Reboot.Needed() {
		op.Record.Reboot = nil
	}
}

// OSVerify wants everything to be there that was there before.
type OSVerify struct{}

// Title says what a person reads.
func (OSVerify) Title() string { return "verify" }

// Describe says it for a plan.
func (OSVerify) Describe(op *Operation) string {
	return "the service with its database, the public address with its certificate; after a restart of the host also timers, units that failed, the backups"
}

// bootPatience is how long the service may take to answer after a reboot.
const bootPatience = 5 * time.Minute

// Run ends the downtime at the first good answer.
func (OSVerify) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if run.From != "" {
		if err := oldAnswers(ctx, op); err != nil {
			return err
		}
	}
	if !run.System.Rebooted {
		return nil
	}
	return compareBoots(ctx, op)
}

// oldAnswers wants the version that served before the run.
func oldAnswers(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if run.Stopped { // since before the reboot
		if run.WasActive {
			if err := answersAgain(ctx, op); err != nil {
				return err
			}
		}
		if err := openAgain(ctx, op); err != nil {
			return err
		}
	} else if st, err := service(run).Status(ctx); err != nil {
		return err
	} else if !st.Off() {
		if err := awaitHealth(ctx, run, 0, run.From, verifyTimeout); err != nil {
			return err
		}
	}
	if url := siteURL(op); url != "" {
		if err := awaitPublic(ctx, url, run.From); err != nil {
			op.Warn("%s does not answer from this host: %v", url, err)
		}
	}
	return nil
}

// answersAgain waits for a service that systemd starts by itself.
func answersAgain(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	began := time.Now()
	if err := service(run).Start(ctx); err != nil {
		return err
	}
	if _, err := service(run).WaitReady(ctx, mattermost.Patience{Limit: bootPatience}); err != nil {
		return fmt.Errorf("after the restart of the host: %w", err)
	}
	return awaitHealth(ctx, run, 0, run.From, bootPatience-time.Since(began))
}

// awaitPublic asks at the public address until the proxy is up as well.
func awaitPublic(ctx context.Context, url, want string) error {
	for deadline := time.Now().Add(proxyTimeout); ; {
		answer, err := mattermost.Public(ctx, url)
		switch {
		case err == nil && answer.Build != want:
			return fmt.Errorf("it answers as %s", answer.Build)
		case err == nil:
			return nil
		case time.Now().After(deadline):
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// compareBoots looks for what the reboot cost.
func compareBoots(ctx context.Context, op *Operation) error {
	plan, s := op.Record.Run.System, op.machine()
	timers, err := s.Timers(ctx)
	if err != nil {
		return err
	}
	failed, err := s.Failed(ctx)
	if err != nil {
		return err
	}
	if op.Config.Backup.Repository != "" {
		if _, err := openBackups(ctx, op); err != nil {
			op.Warn("the backups cannot be reached since the restart of the host: %v", err)
		}
	}
	if lost := without(plan.Timers, timers); len(lost) > 0 {
		op.Warn("timers that were on before the restart of the host are off: %s", strings.Join(lost, ", "))
	}
	if fresh := without(failed, plan.Failed); len(fresh) > 0 {
		op.Warn("failed since the restart of the host: %s", strings.Join(fresh, ", "))
	}
	if err := lookAtSystem(ctx, op); err != nil {
		return err
	}
	if op.OS.Reboot.Needed() {
		op.Warn("the host restarted, and still needs to: %s", op.OS.Reboot.Reason())
	}
	return nil
}

// without are the words of all that are not in some.
func without(all, some []string) (rest []string) {
	for _, word := range all {
		if !slices.Contains(some, word) {
			rest = append(rest, word)
		}
	}
	return rest
}

// OSCommit makes it final.
type OSCommit struct{}

// Title says what a person reads.
func (OSCommit) Title() string { return "commit" }

// Describe says it for a plan.
func (OSCommit) Describe(op *Operation) string { return "old archives of packages are removed" }

// Run cannot be undone.
func (OSCommit) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	run.Committed = true
	if err := op.Save(); err != nil {
		run.Committed = false
		return err
	}
	return op.tidyPackages(ctx)
}

// tidyPackages removes old archives of packages, and says what is left to do.
func (op *Operation) tidyPackages(ctx context.Context) (err error) {
	if op.Record.Run.System.Installed {
		err = op.machine().Clean(ctx)
	}
	if op.OS != nil && op.OS.Later != "" && op.OS.Reboot.Needed() {
		op.Note("a reboot is needed (%s), but %s", op.OS.Reboot.Reason(), op.OS.Later)
	} else {
		op.note(schedule.System, Waiting{})
	}
	return err
}
