package cli

import (
	"context"

	"townsquare/upgrade/phase"
)

// followStack brings to the server what its stack has changed, before the run that was asked for. What
// could not be brought is reported, and does not hold that run up.
func (a *app) followStack(ctx context.Context, s *session, found phase.Preview, r request, sure bool) (phase.Report, error) {
	first := request{Operation: found.First, Options: phase.Options{Changed: true, KeepKey: r.KeepKey, Unattended: r.Unattended}, Who: r.Who}
	plan, err := s.examine(ctx, "plan", first)
	if err != nil || plan.Running != "" || plan.Left != "" || plan.UpToDate {
		return phase.Report{}, err // the next look finds it
	}
	if plan.Closed {
		a.printer.Say("The stack has changed (%s); the server follows it later: %s.", found.Why, plan.Why)
		return phase.Report{}, nil
	}
	a.printer.Say("The stack has changed: %s. The server follows it first.", found.Why)
	report, _, err := a.step(ctx, s, plan, first, sure)
	if err == nil && report.Exit != phase.ExitDone {
		a.printer.Say("The server could not follow its stack: %s", report.Error)
		a.printer.Hint("see what differs: " + a.printer.Command("repair --show"))
	}
	return report, err
}
