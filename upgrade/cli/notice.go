package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/notice"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/ui"
)

type noticeOptions struct {
	fleetFlags
	apply bool
	watch time.Duration
}

func (a *app) notice() *cobra.Command {
	var o noticeOptions
	cmd := &cobra.Command{
		Use:   "notice",
		Short: "Does this release notice concern us?",
		Long: `Reads on stdin what tells of a new release: the vendor's e-mail, an entry of the feed of releases,
the body of a webhook, or a bare version. Says what it means for each server. A notice decides
nothing: it only names versions, and what is installed is what the vendor's own pages list and the
server's policy allows. With --apply it goes on as upgrade apply --unattended does.

Each version that the notice names is judged separately.

Exit codes: 0 it does not concern us (with --apply: done), 10 it does, 12 the vendor's pages do not
list that release yet, so try again in an hour, 13 it is skipped or cannot be installed here; 1 an
error, 2 not understood, and those of apply.`,
		Example: "  upgrade notice --stack prod <mail.eml\n  echo 11.7.10 | upgrade notice --all-stacks --apply",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runNotice(cmd.Context(), &o)
		},
	}
	cmd.Flags().BoolVar(&o.apply, "apply", false, "go on where it concerns us, as upgrade apply --unattended")
	cmd.Flags().DurationVar(&o.watch, "watch", 0, "with --apply: how long to watch the new version before it is kept (default 60s)")
	o.add(cmd)
	a.keepFlags(cmd)
	a.common(cmd, &o.targetFlags)
	return cmd
}

func (o *noticeOptions) check() problem.List {
	found := o.fleetFlags.check()
	if o.watch != 0 && !o.apply {
		found = append(found, problem.Problem{Where: "--watch", Found: "given without --apply"})
	}
	return append(found, watchProblems(o.watch)...)
}

func (a *app) runNotice(ctx context.Context, o *noticeOptions) error {
	if found := o.check(); len(found) > 0 {
		return &usageError{problems: found}
	}
	n, err := notice.Read(a.stdin)
	if err != nil {
		return err
	}
	if len(n.Versions) == 0 {
		return a.printer.Notice(n, nil, phase.ExitDone)
	}
	results, err := a.meanings(ctx, o, n)
	if err != nil {
		return err
	}
	exit := worst(results)
	concerned := slices.ContainsFunc(results, func(r ui.Result) bool { return r.Exit == phase.ExitAvailable })
	if !o.apply || !concerned {
		if err := a.printer.Keep(results, exit); err != nil {
			return err
		}
		if err := a.printer.Notice(n, results, exit); err != nil {
			return err
		}
		return exitWith(exit)
	}
	a.printer.Noticed(n, results)
	return a.runApply(ctx, &applyOptions{fleetFlags: o.fleetFlags, unattended: true, watch: o.watch})
}

// meanings asks each server what is new for it, and what the notice means there.
func (a *app) meanings(ctx context.Context, o *noticeOptions, n notice.Notice) ([]ui.Result, error) {
	var named []string
	for _, v := range n.Versions {
		named = append(named, v.String())
	}
	look := func(ctx context.Context, a *app, t *targetFlags) (ui.Result, error) {
		plan, err := a.checkOn(ctx, t, phase.Options{Named: named})
		r := ui.Result{Stack: t.label(), Plan: &plan, Exit: plan.Exit, Hint: plan.Hint}
		if err == nil && slices.Contains([]int{phase.ExitDone, phase.ExitAvailable, phase.ExitAttention}, plan.Exit) {
			r.Notice, r.Exit = meaning(n.Versions, plan)
		}
		return r, err
	}
	if !o.several() {
		r, err := look(ctx, a, &o.targetFlags)
		return []ui.Result{r}, err
	}
	fleet, err := a.fleet(ctx, &o.fleetFlags)
	if err != nil {
		return nil, err
	}
	fleet.learn(ctx)
	return fleet.each(ctx, fleet.names, look, never), nil
}

// meaning compares what a notice names with what a server has and would take, each version apart. The exit
// code is that of the version which needs the most.
func meaning(named []release.Version, plan phase.Preview) (string, int) {
	has, _ := release.Parse(plan.From) // zero where nothing is installed
	target, _ := release.Parse(plan.Target)
	is := "this server has " + plan.From
	if has.IsZero() {
		is = "nothing is installed here"
	}
	found := map[int][]string{}
	var old []string
	for _, v := range named {
		held := slices.IndexFunc(plan.Held, func(h release.Held) bool { return h.Version == v.String() })
		var (
			exit int
			says string
		)
		switch {
		case !has.Less(v):
			old = append(old, v.String())
			continue
		case slices.Contains(plan.Unlisted, v.String()):
			exit, says = phase.ExitNotListed, v.String()+" is not on the vendor's pages yet and cannot be verified: try again in an hour"
		case held >= 0:
			exit, says = phase.ExitAttention, plan.Held[held].String()
		case !plan.UpToDate && plan.Exit != phase.ExitAttention && !target.Less(v):
			exit, says = phase.ExitAvailable, fmt.Sprintf("%s: %s, and its release track leads to %s", v, is, plan.Target)
		default:
			says = fmt.Sprintf("%s is not what this server's release track leads to: %s", v, strings.TrimSuffix(plan.Why, "."))
		}
		found[exit] = append(found[exit], says)
	}
	if len(found) == 0 {
		return "nothing new: " + is + ".", phase.ExitDone
	}
	var says []string
	exit := -1
	for _, code := range []int{phase.ExitAvailable, phase.ExitNotListed, phase.ExitAttention, phase.ExitDone} {
		if exit < 0 && len(found[code]) > 0 {
			exit = code
		}
		says = append(says, found[code]...)
	}
	for _, v := range old {
		says = append(says, v+" is not newer than what is installed")
	}
	return strings.Join(says, "; ") + ".", exit
}
