package phase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/system"
)

// OSDecide plans what restarts: what needrestart names, what packages wanted to restart and were
// kept from, and whether the host itself must.
type OSDecide struct{}

// Title says what a person reads.
func (OSDecide) Title() string { return "see what must restart" }

// Describe says it for a plan.
func (OSDecide) Describe(op *Operation) string {
	text := "by needrestart"
	if len(op.OS.Restart) > 0 {
		text += "; known already: " + strings.Join(op.OS.Restart, ", ")
	}
	return text
}

// Run saves the plan in the record.
func (OSDecide) Run(ctx context.Context, op *Operation) (err error) {
	f, plan, s := op.OS, op.Record.Run.System, op.machine()
	if f.Outdated, err = s.Outdated(ctx); err != nil {
		return err
	}
	if f.Reboot, err = s.Reboot(f.Outdated); err != nil {
		return err
	}
	op.postpone(f)
	if f.Reboot.Needed() && f.Later == "" {
		plan.RebootFor = f.Reboot.Reason()
		op.Note("the host must restart: %s", plan.RebootFor)
		return op.Save()
	}
	wanted := slices.Concat(f.Outdated.Restartable(), plan.Others)
	slices.Sort(wanted)
	plan.Others = nil
	for _, unit := range slices.Compact(wanted) {
		switch {
		case unit == op.Record.Run.Unit:
			plan.Service = true
		case strings.HasPrefix(unit, "postgresql@"):
			plan.Database, plan.Service = append(plan.Database, unit), true
		case slices.Contains(proxies, unit):
			plan.Proxy = append(plan.Proxy, unit)
		case unit == "ssh.service" || unit == "sshd.service":
			plan.SSH = append(plan.SSH, unit)
		case unit != "postgresql.service": // which only stands for the others
			plan.Others = append(plan.Others, unit)
		}
	}
	return op.Save()
}

// restarted notes that a unit was.
func restarted(op *Operation, units ...string) {
	plan := op.Record.Run.System
	for _, unit := range units {
		if !slices.Contains(plan.Restarted, unit) {
			plan.Restarted = append(plan.Restarted, unit)
		}
	}
}

// OSDatabase restarts PostgreSQL and the service together, behind the proxy's hold.
type OSDatabase struct{}

// Title says what a person reads.
func (OSDatabase) Title() string { return "restart the database and the service" }

// Describe says it for a plan.
func (OSDatabase) Describe(op *Operation) string {
	return "only if they run old files; meanwhile " + op.visitors()
}

// Run verifies the service as an upgrade does before anybody reaches it again.
func (OSDatabase) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	plan := run.System
	if !plan.Service || plan.RebootFor != "" {
		return nil
	}
	if err := stopService(ctx, op); err != nil {
		return err
	}
	if err := op.restartDatabase(ctx); err != nil {
		return err
	}
	if run.WasActive && run.From != "" {
		if err := serveAgain(ctx, op); err != nil {
			return err
		}
		restarted(op, run.Unit)
	}
	plan.Service = false
	return openAgain(ctx, op)
}

// restartDatabase restarts the plan's units of PostgreSQL, with the service stopped.
func (op *Operation) restartDatabase(ctx context.Context) error {
	plan := op.Record.Run.System
	for _, unit := range plan.Database {
		if err := op.machine().Restart(ctx, unit); err != nil {
			return err
		}
		restarted(op, unit)
	}
	plan.Database = nil
	return nil
}

// stopService shuts the gate and stops the service, so that it can be started again as it is.
func stopService(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	s := service(run)
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if run.WasActive = !st.Off(); !run.WasActive {
		return nil
	}
	if err := s.WaitSettled(ctx); err != nil {
		return err
	}
	run.Stopped, run.StoppedAt = true, time.Now().UTC()
	if err := op.Save(); err != nil {
		run.Stopped = false
		return err
	}
	if err := gate(run).Close(ctx); err != nil {
		return err
	}
	op.Down()
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("%s did not stop within %s", run.Unit, printable.Duration(stopTimeout)))
	defer cancel()
	return s.Stop(ctx)
}

// openAgain ends what stopService began.
func openAgain(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if err := gate(run).Open(ctx); err != nil {
		return err
	}
	op.Up()
	run.Stopped = false
	return op.Save()
}

// Undo starts again what was stopped.
func (OSDatabase) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped || run.System == nil {
		return nil
	}
	if op.Boot { // systemd starts all of it behind us
		return Stop{}.Undo(ctx, op)
	}
	for _, unit := range run.System.Database {
		if err := op.machine().Start(ctx, unit); err != nil {
			return err
		}
	}
	return Stop{}.Undo(ctx, op)
}

// OSProxy restarts the proxy while new visitors wait at the door.
type OSProxy struct{}

// Title says what a person reads.
func (OSProxy) Title() string { return "restart the proxy" }

// Describe says it for a plan.
func (OSProxy) Describe(op *Operation) string {
	return "only if it runs old files; requests in progress are finished, new ones wait at the door"
}

// proxyTimeout bounds the time in which the proxy must answer again.
const proxyTimeout = 20 * time.Second

// drain lets the proxy take the connections that had come to the door before it was closed.
const drain = 50 * time.Millisecond

// Run opens the door when the proxy answers with its certificate.
func (OSProxy) Run(ctx context.Context, op *Operation) error {
	plan, s := op.Record.Run.System, op.machine()
	if len(plan.Proxy) == 0 || plan.RebootFor != "" {
		return nil
	}
	plan.Door = true
	if err := op.Save(); err != nil {
		return err
	}
	began := time.Now()
	err := s.CloseDoor(ctx)
	if err == nil {
		time.Sleep(drain)
		for _, unit := range plan.Proxy {
			if err = s.Restart(ctx, unit); err != nil {
				break
			}
			restarted(op, unit)
		}
	}
	if err == nil {
		if url := siteURL(op); url != "" {
			err = system.AwaitProxy(ctx, url, proxyTimeout)
		}
	}
	if err = errors.Join(err, s.OpenDoor(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	op.Note("new visitors waited for %.2f s", time.Since(began).Seconds())
	plan.Door, plan.Proxy = false, nil
	return op.Save()
}

// Undo opens the door, with the proxy behind it, if it can be started.
func (OSProxy) Undo(ctx context.Context, op *Operation) error {
	plan, s := op.Record.Run.System, op.machine()
	if plan == nil || !plan.Door {
		return nil
	}
	var failed []error
	for _, unit := range plan.Proxy {
		if !op.Boot {
			failed = append(failed, s.Start(ctx, unit))
		}
	}
	if err := errors.Join(append(failed, s.OpenDoor(ctx))...); err != nil {
		return err
	}
	plan.Door = false
	return op.Save()
}

func siteURL(op *Operation) string {
	if op.Config.URL != "" {
		return op.Config.URL
	}
	if op.Facts != nil {
		return op.Facts.SiteURL
	}
	return ""
}

// OSServices restarts the rest: sshd with care, and what needrestart can restart by itself.
type OSServices struct{}

// Title says what a person reads.
func (OSServices) Title() string { return "restart other services" }

// Describe says it for a plan.
func (OSServices) Describe(op *Operation) string {
	return "only those that run old files; a new sshd must answer with this host's key before the old one lets go"
}

// Run leaves alone what needrestart would not restart: that is for a reboot.
func (OSServices) Run(ctx context.Context, op *Operation) (err error) {
	plan, s, f := op.Record.Run.System, op.machine(), op.OS
	if plan.RebootFor != "" {
		return nil
	}
	named := f.Outdated.Restartable()
	for _, unit := range plan.SSH {
		if err := s.RestartSSH(ctx, unit); err != nil {
			return err
		}
		restarted(op, unit)
	}
	if len(named) > 0 {
		if err := s.RestartRest(ctx); err != nil {
			return err
		}
		if f.Outdated, err = s.Outdated(ctx); err != nil {
			return err
		}
		for _, unit := range named {
			if !slices.Contains(f.Outdated.Services, unit) {
				restarted(op, unit)
			}
		}
	}
	for _, unit := range plan.Others {
		if !slices.Contains(named, unit) && !slices.Contains(f.Outdated.Deferred, unit) {
			if err := s.Restart(ctx, unit); err != nil {
				return err
			}
			restarted(op, unit)
		}
	}
	for _, unit := range plan.Start {
		if err := s.Start(ctx, unit); err != nil {
			op.Warn("%v", err)
		}
	}
	for _, unit := range plan.Reload {
		if err := s.Reload(ctx, unit); err != nil {
			op.Warn("%v", err)
		}
	}
	if left := f.Outdated.Restartable(); len(left) > 0 {
		op.Warn("still running old files after their restart: %s", strings.Join(left, ", "))
	}
	if f.Reboot, err = s.Reboot(f.Outdated); err != nil {
		return err
	}
	return op.Save()
}
