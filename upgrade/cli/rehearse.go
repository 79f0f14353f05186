package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

type rehearseOptions struct {
	targetFlags
	choiceFlags
	watch time.Duration
	here  bool
}

func (a *app) rehearse() *cobra.Command {
	var o rehearseOptions
	cmd := &cobra.Command{
		Use:   "rehearse",
		Short: "Try an upgrade on a copy first",
		Long: `Tries an upgrade on the server itself, beside Mattermost, where nobody sees it: the release is
fetched and verified, the database is copied, and the new version migrates the copy and starts on
it, in a network of its own that nothing leads into or out of. It says how long the migrations take,
how long the upgrade would keep people waiting, and what would break: settings, plugins, the start
itself. Then all of it is removed but for the release, which makes the upgrade quicker.

It takes the processor and the disk only when nobody else wants them.

With --here all of that happens on the computer in front of you, in a machine of its own, and the
server is not even connected to: the machine is made as pulumi up makes a server, restored from the
newest backup in the repository, and upgraded there. It has no way out, so that the copy writes to
nobody: all that it can do outside is read the vendor's releases and the backups. Afterwards machine
and secrets are removed, however it ends. That needs root on Debian, this project's sources with
bin/localcloud built, and room for the files and three times the database; times are this computer's.

Exit codes: 0 the upgrade would work, or there is none; 1 an error, 2 not understood,
3 it would not work, or is refused; 11 another run is in progress on the server, 130 interrupted.`,
		Example: "  upgrade rehearse --stack prod\n  upgrade rehearse --stack prod --to 9.10.0\n  sudo -E upgrade rehearse --here --stack prod",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runRehearse(cmd.Context(), &o) },
	}
	o.choiceFlags.add(cmd)
	cmd.Flags().DurationVar(&o.watch, "watch", 0, "how long the new version must go on to answer well (default 10s)")
	cmd.Flags().BoolVar(&o.here, "here", false, "on this computer, from the newest backup, without touching the server")
	a.common(cmd, &o.targetFlags)
	return cmd
}

func (o *rehearseOptions) check() problem.List {
	found := append(o.choiceFlags.check(), o.targetFlags.check()...)
	if c := (state.Config{Watch: o.watch}).Check("--watch"); len(c) > 0 || o.watch < 0 {
		found = append(found, problem.Problem{Where: "--watch", Found: printable.Duration(o.watch), Allowed: "1s to 1h, such as 10s"})
	}
	return found
}

func (a *app) runRehearse(ctx context.Context, o *rehearseOptions) error {
	if found := o.check(); len(found) > 0 {
		return &usageError{problems: found}
	}
	a.printer.Given = o.given()
	if o.here {
		return a.rehearseHere(ctx, o)
	}
	s, err := a.open(ctx, &o.targetFlags)
	if err != nil {
		return err
	}
	defer s.close()
	return a.rehearseOn(ctx, s, o)
}

// rehearseOn rehearses on the session's host.
func (a *app) rehearseOn(ctx context.Context, s *session, o *rehearseOptions) error {
	r := request{Operation: "rehearse", Who: who(), Options: phase.Options{To: o.to, Retry: o.retry, Watch: o.watch}}
	for {
		plan, err := a.look(ctx, s, "plan", r)
		if err != nil {
			return err
		}
		if err := a.busy(plan); err != nil {
			return err
		}
		var report phase.Report
		if plan.Error != "" || plan.UpToDate {
			report = a.still(plan, r.Operation)
		} else {
			a.printer.Say("Rehearse the upgrade from Mattermost %s to %s", plan.From, plan.To)
			var attached bool
			report, attached, err = s.run(ctx, r)
			if errors.Is(err, errUnknown) || err == nil && attached {
				continue
			}
			if err != nil {
				return err
			}
		}
		if s.aside { // what to type there: the machine is gone when this is read
			for i := range report.Problems {
				report.Problems[i].Hint = ""
			}
		}
		if err := a.printer.Rehearsed(report); err != nil {
			return err
		}
		return exitWith(report.Exit)
	}
}
