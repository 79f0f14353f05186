package phase

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"townsquare/upgrade/system"
)

// OSRepair finishes what a dpkg left half done that was interrupted, and looks again.
type OSRepair struct{}

// Title says what a person reads.
func (OSRepair) Title() string { return "finish what dpkg left half done" }

// Describe says it for a plan.
func (OSRepair) Describe(op *Operation) string {
	if op.OS.Interrupted == "" {
		return "nothing: dpkg was not interrupted"
	}
	return "dpkg --configure -a, apt-get --fix-broken install"
}

// Run goes on when a package cannot be repaired: the newer one may be the cure.
func (OSRepair) Run(ctx context.Context, op *Operation) error {
	if op.OS.Interrupted == "" {
		return nil
	}
	op.Note("dpkg was interrupted before: %s", firstLines(op.OS.Interrupted, 2))
	if err := hold(op); err != nil {
		return err
	}
	if err := op.machine().Repair(ctx, op.listener()); err != nil {
		op.Warn("%v", err)
	}
	if err := lookAtSystem(ctx, op); err != nil {
		return err
	}
	op.Record.Run.System.Packages = op.OS.Changes()
	return OSPreflight{}.Run(ctx, op)
}

// Undo is OSInstall's.
func (OSRepair) Undo(ctx context.Context, op *Operation) error { return letGo(ctx, op) }

// OSDownload fetches the packages, which changes nothing yet.
type OSDownload struct{}

// Title says what a person reads.
func (OSDownload) Title() string { return "download packages" }

// Describe says it for a plan.
func (OSDownload) Describe(op *Operation) string {
	download, _ := op.OS.Bytes()
	return fmt.Sprintf("%.1f MB", float64(download)/1e6)
}

// Run does nothing when they are there.
func (OSDownload) Run(ctx context.Context, op *Operation) error {
	if len(op.OS.Packages) == 0 {
		return nil
	}
	return op.machine().Download(ctx, op.SecurityOnly, op.listener())
}

// OSInstall installs the packages. Not one service restarts meanwhile.
type OSInstall struct{}

// Title says what a person reads.
func (OSInstall) Title() string { return "install packages" }

// Describe says it for a plan.
func (OSInstall) Describe(op *Operation) string {
	if len(op.OS.Packages) == 0 {
		return "none are pending"
	}
	var words []string
	for _, one := range op.OS.Packages {
		word := one.Name + " " + one.To
		if one.Security {
			word += " (security)"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ") + "; no service restarts meanwhile"
}

// Run is not interrupted: half a package is worse than one too many.
func (OSInstall) Run(ctx context.Context, op *Operation) error {
	run, s := op.Record.Run, op.machine()
	if len(op.OS.Packages) > 0 {
		if err := hold(op); err != nil {
			return err
		}
		if err := s.Install(ctx, op.SecurityOnly, op.listener()); err != nil {
			return fmt.Errorf("install packages: %w", err)
		}
		run.System.Installed = true
	}
	if !run.System.Holding {
		return nil
	}
	wishes, err := s.Held()
	if err != nil {
		return err
	}
	for _, w := range wishes {
		if err := want(ctx, op, w); err != nil {
			return err
		}
	}
	if err := s.Release(); err != nil {
		return err
	}
	run.System.Holding = false
	if err := op.Save(); err != nil {
		return err
	}
	if ctx.Err() != nil { // a person ended the run: the packages stay, and are whole
		return context.Cause(ctx)
	}
	return nil
}

// Undo makes dpkg whole again. What was installed stays.
func (OSInstall) Undo(ctx context.Context, op *Operation) error { return letGo(ctx, op) }

// hold keeps packages from restarting services, from here to letGo or the end of OSInstall.
func hold(op *Operation) error {
	op.Record.Run.System.Holding = true
	if err := op.Save(); err != nil {
		return err
	}
	return op.machine().Hold()
}

// letGo repairs what an interrupted dpkg left and takes the hold away. What wanted to restart and
// did not is found by needrestart in the next run.
func letGo(ctx context.Context, op *Operation) error {
	run, s := op.Record.Run, op.machine()
	if run.System == nil || !run.System.Holding {
		return nil
	}
	err := s.Hold() // also after a power cut, which took the list away
	if err == nil {
		err = s.Repair(ctx, system.Listener{})
	}
	if err = errors.Join(err, s.Release()); err != nil {
		return err
	}
	run.System.Holding = false
	return op.Save()
}

// want notes what a package wanted of a service.
func want(ctx context.Context, op *Operation, w system.Wish) error {
	active, err := op.machine().Active(ctx, w.Unit)
	if err != nil {
		return err
	}
	plan := op.Record.Run.System
	switch {
	case w.Restart():
		plan.Others = append(plan.Others, active...)
	case len(active) > 0 && w.Reload():
		plan.Reload = append(plan.Reload, active...)
	case len(active) == 0 && w.Start() && !strings.Contains(w.Unit, "*"):
		on, err := op.machine().Enabled(ctx, w.Unit)
		if err != nil {
			return err
		}
		if on {
			plan.Start = append(plan.Start, w.Unit)
		}
	}
	return nil
}

func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[:min(n, len(lines))], " ")
}
