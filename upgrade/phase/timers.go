package phase

import (
	"context"
	"fmt"
)

// Timers lets the host look after itself from now on, as its configuration says: nobody has to
// remember it.
type Timers struct{}

// Title says what a person reads.
func (Timers) Title() string { return "set the timers" }

// Describe says it for a plan.
func (Timers) Describe(op *Operation) string {
	switch on := op.Config.Timers; {
	case on == nil:
		return "unchanged; for unattended updates: upgrade timers enable …"
	case !*on:
		return "none: the configuration says timers: false"
	}
	return "from then on this server looks for updates daily and installs them by itself, " + Times(op) + "; off: timers: false"
}

// Times says when a host works on itself.
func Times(op *Operation) string {
	text := "in its window, " + op.Config.Window
	if op.Config.Window == "" {
		text = "at night"
	}
	if op.Config.SecurityWithin > 0 {
		text += fmt.Sprintf(" (security fixes at night, too, when they have waited for %.0f h)", op.Config.SecurityWithin.Hours())
	}
	return text
}

// Run has nothing to undo: timers ask before they begin anything.
func (Timers) Run(ctx context.Context, op *Operation) error {
	if op.Timers == nil {
		return nil
	}
	changed, on, err := op.Timers(ctx, op.Config)
	switch {
	case err != nil:
		return err
	case len(changed) > 0 && on:
		op.Note("this server looks after itself from now on: it looks for updates daily and installs them %s", Times(op))
	case len(changed) > 0:
		op.Note("the timers are off, as the configuration says")
	}
	return nil
}
