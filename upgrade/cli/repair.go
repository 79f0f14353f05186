package cli

import (
	"context"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
)

type repairOptions struct {
	targetFlags
	show       bool
	removeKeys bool
	yes        bool
}

func (a *app) repair() *cobra.Command {
	var o repairOptions
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Repair drift from the stack",
		Long: `Compares the server with what its stack says and first boot made: files, packages, units, accounts, SSH
keys and settings, the firewall, the kernel's settings; and, on every server, the timers, the recovery
after a power cut, and who can read the files with secrets. Shows what differs, asks, and repairs it.
What the stack has changed comes with it: SSH keys, the site's address (its certificate first; Mattermost
restarts, with requests held), and file systems of volumes that have grown.
What a newer program makes at first boot comes to a server that exists in the same way: after pulumi up.

Replaced files are kept, and restored if the repair fails. No connection is cut: services read their files
again, once these are checked. What was added by hand is unmanaged: it is listed with what to type, and
stays as it is.

Exit codes: 0 done, or no drift that can be repaired; 10 something differs (with --show); 1 an
error, or something still differs; 2 not understood, 3 refused, 11 another run is in progress on the
server, 130 interrupted.`,
		Example: `  upgrade repair --stack prod --show
  upgrade repair --stack prod --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runRepair(cmd.Context(), &o) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.show, "show", false, "only say what differs, and how")
	flags.BoolVar(&o.removeKeys, "remove-keys", false, "also remove SSH keys that the stack never had; the one that you connect with stays")
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	a.common(cmd, &o.targetFlags)
	return cmd
}

func (a *app) runRepair(ctx context.Context, o *repairOptions) error {
	found := o.check()
	if !o.yes && !o.show && !isTerminal(a.stdin) {
		found = append(found, problem.Problem{Where: "--yes", Found: "missing, and there is no terminal to ask on", Hint: "--yes"})
	}
	if len(found) > 0 {
		return &usageError{problems: found}
	}
	s, err := a.open(ctx, &o.targetFlags)
	if err != nil {
		return err
	}
	defer s.close()
	r := request{Operation: "repair", Who: who(), Look: o.show, Options: phase.Options{RemoveKeys: o.removeKeys, KeepKey: s.key()}}
	for {
		plan, err := s.examine(ctx, "plan", r)
		if err != nil {
			return err
		}
		if o.show {
			return a.showDrift(plan)
		}
		if plan.Left != "" {
			if report, again, err := a.mend(ctx, s, plan.Left, plan.Stuck); !again {
				if err != nil {
					return err
				}
				return exitWith(report.Exit)
			}
			continue
		}
		if len(plan.Drift) > 0 && !plan.UpToDate {
			a.printer.Differences(plan.Drift)
		}
		report, then, err := a.step(ctx, s, plan, r, o.yes)
		if err != nil {
			return err
		}
		if then == lookAgain {
			continue
		}
		if report.ID == "" {
			report.Drift = plan.Drift
		}
		if err := a.printer.Repaired(report); err != nil {
			return err
		}
		for _, d := range report.Drift {
			if d.Left == "" && report.Exit == phase.ExitDone {
				return exitWith(phase.ExitError)
			}
		}
		return exitWith(report.Exit)
	}
}

// showDrift only says what differs.
func (a *app) showDrift(plan phase.Preview) error {
	if err := a.busy(plan); err != nil {
		return err
	}
	if plan.Exit == phase.ExitDone && len(plan.Drift) > 0 {
		plan.Exit = phase.ExitAvailable
	}
	if err := a.printer.DriftOnly(plan); err != nil {
		return err
	}
	return exitWith(plan.Exit)
}
