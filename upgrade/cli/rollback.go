package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

type rollbackOptions struct {
	targetFlags
	to    string
	way   string
	show  bool
	yes   bool
	watch time.Duration
}

func (a *app) rollback() *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Roll back to the version before",
		Long: `Rolls back to the version that was installed before the last upgrade. It counts in the database what
would be lost on each way back, and asks:

  downgrade    the newer version takes its changes of the database back; what people wrote stays
  checkpoint   the copy of the database from before the upgrade takes its place; what was written
               since is lost to people, and kept aside until the next upgrade
  backup       a backup of an older version takes the place of everything: of the newest one, or,
               as backup=1a2b3c4d, of the one that is named

A way that loses something is only taken when it is named. The version before is first tried
on a copy of the database, unseen by users; if it does not work there, nothing is changed. If it does
not work afterwards, the rollback is undone. The version that was left goes on the skip
list, so that no scheduled upgrade returns to it: upgrade apply --to VERSION --retry-failed does.
` + exitCodes,
		Example: `  upgrade rollback --stack prod
  upgrade rollback --stack prod --way downgrade --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runRollback(cmd.Context(), &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.to, "to", "", "this version, such as 9.10.0 (default: the one before)")
	flags.StringVar(&o.way, "way", "", "downgrade, checkpoint, backup or backup=1a2b3c4d (default: it asks)")
	flags.BoolVar(&o.show, "show", false, "only say what would be lost on each way")
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask; without --way only one that loses nothing is taken")
	flags.DurationVar(&o.watch, "watch", 0, "how long to watch the version before it is kept (default 60s)")
	a.common(cmd, &o.targetFlags)
	return cmd
}

// ways are what --way can be.
var ways = []string{phase.WayDowngrade, phase.WayCheckpoint, phase.WayBackup}

func (o *rollbackOptions) check(a *app) problem.List {
	found := append((&choiceFlags{to: o.to}).check(), o.targetFlags.check()...)
	if c := (state.Config{Watch: o.watch}).Check("--watch"); len(c) > 0 || o.watch < 0 {
		found = append(found, problem.Problem{Where: "--watch", Found: printable.Duration(o.watch), Allowed: "1s to 1h, such as 60s"})
	}
	if name, _, _ := strings.Cut(o.way, "="); o.way != "" && !slices.Contains(ways, name) || name != phase.WayBackup && name != o.way {
		found = append(found, problem.Problem{Where: "--way", Found: `"` + o.way + `"`, Allowed: strings.Join(ways, ", ")})
	}
	if isTerminal(a.stdin) || o.show {
		return found
	}
	if !o.yes {
		found = append(found, problem.Problem{Where: "--yes", Found: "missing, and there is no terminal to ask on",
			Hint: "see what is lost with each: upgrade rollback --show …"})
	}
	if o.way == "" {
		found = append(found, problem.Problem{Where: "--way", Found: "missing, and there is no terminal to ask on", Allowed: strings.Join(ways, ", "),
			Hint: "see what is lost with each: upgrade rollback --show …"})
	}
	return found
}

// given are the flags of the operation as typed, for hints.
func (o *rollbackOptions) given() string {
	words := (&choiceFlags{to: o.to}).given()
	if o.way != "" {
		words = strings.TrimSpace(words + " --way " + o.way)
	}
	return words
}

func (a *app) runRollback(ctx context.Context, o *rollbackOptions) error {
	if found := o.check(a); len(found) > 0 {
		return &usageError{problems: found}
	}
	a.printer.Given = o.given()
	s, err := a.open(ctx, &o.targetFlags)
	if err != nil {
		return err
	}
	defer s.close()
	r := request{Operation: "rollback", Who: who(), Options: phase.Options{To: strings.TrimPrefix(o.to, "v"), Way: o.way, Watch: o.watch}}
	for {
		if o.show {
			plan, err := a.look(ctx, s, "plan", r)
			if err != nil {
				return err
			}
			if err := a.busy(plan); err != nil {
				return err
			}
			if err := a.printer.WaysOnly(plan); err != nil {
				return err
			}
			return exitWith(plan.Exit)
		}
		plan, err := s.examine(ctx, "plan", r)
		if err != nil {
			return err
		}
		report, again, err := a.rollBack(ctx, s, plan, r, o)
		switch {
		case err != nil:
			return err
		case again:
			continue
		}
		if err := a.printer.Report(report); err != nil {
			return err
		}
		return exitWith(report.Exit)
	}
}

// rollBack does the run, or follows the one in progress. With again set, look once more: what was
// left unfinished is put back, or what became of the run is not known.
func (a *app) rollBack(ctx context.Context, s *session, plan phase.Preview, r request, o *rollbackOptions) (report phase.Report, again bool, err error) {
	if plan.Left != "" {
		return a.mend(ctx, s, plan.Left, plan.Stuck)
	}
	if plan.Running == "" && plan.Error == "" {
		a.printer.Ways(plan)
		if r.Way, err = a.chooseWay(ctx, plan, o); err != nil {
			return report, false, err
		}
		if id, ok := strings.CutPrefix(r.Way, phase.WayBackup+"="); ok {
			r.Operation, r.Snapshot, r.Replace = "restore", id, true
		}
	}
	report, then, err := a.step(ctx, s, plan, r, true)
	return report, then == lookAgain, err
}

// chooseWay asks for what was not said. A way on which something is lost is never taken unless it
// was named by the person.
func (a *app) chooseWay(ctx context.Context, plan phase.Preview, o *rollbackOptions) (string, error) {
	open := slices.DeleteFunc(slices.Clone(plan.Ways), func(w phase.Way) bool { return len(w.Problems) > 0 })
	if o.way == "" && o.yes {
		if i := slices.IndexFunc(open, func(w phase.Way) bool { return w.Keeps && len(w.Drops) == 0 }); i >= 0 {
			return open[i].Name, nil
		}
		return "", usage(problem.Problem{Where: "--way", Found: "missing, and something is lost on every way", Allowed: strings.Join(ways, ", ")})
	}
	if len(open) == 0 {
		return "", problem.List{{Where: "the way back", Found: "none of them can be gone", Allowed: "one of those above"}}
	}
	if o.way != "" {
		i := slices.IndexFunc(open, func(w phase.Way) bool { return strings.HasPrefix(w.Name, o.way) }) // the host has found it
		if i < 0 {
			return "", problem.List{{Where: "--way", Found: o.way, Allowed: "one of those above"}}
		}
		if !o.yes {
			if err := a.confirm(ctx, plan, false); err != nil {
				return "", err
			}
		}
		return open[i].Name, nil
	}
	var names []string
	for _, w := range open {
		names = append(names, w.Name)
	}
	word, err := a.answer(ctx, fmt.Sprintf("Which way? [%s; Enter changes nothing] ", strings.Join(names, ", ")))
	if err != nil {
		return "", err
	}
	if !slices.Contains(names, word) {
		return "", errors.New("no way was chosen; nothing was changed")
	}
	return word, nil
}
