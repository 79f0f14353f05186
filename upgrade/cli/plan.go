package cli

import (
	"context"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/ui"
)

// choiceFlags say which version.
type choiceFlags struct {
	to    string
	retry bool
}

func (c *choiceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.to, "to", "", "this version, such as 9.10.0 (default: what the policy chooses)")
	cmd.Flags().BoolVar(&c.retry, "retry-failed", false, "try a version again that failed on this server before")
}

var fullVersion = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+$`)

// given are the flags as typed, for hints.
func (c *choiceFlags) given() string {
	var words []string
	if c.to != "" {
		words = append(words, "--to "+c.to)
	}
	if c.retry {
		words = append(words, "--retry-failed")
	}
	return strings.Join(words, " ")
}

func (c *choiceFlags) check() problem.List {
	if c.to == "" || fullVersion.MatchString(c.to) {
		return nil
	}
	return problem.List{{Where: "--to", Found: `"` + c.to + `"`, Allowed: "a full version",
		Hint: "for example: --to 9.10.0"}}
}

func (a *app) plan() *cobra.Command {
	var (
		f      fleetFlags
		c      choiceFlags
		system bool
	)
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "What would an upgrade do?",
		Long: `Does all the checks for real and describes the rest. Changes nothing in Mattermost, except
that a killed run is recovered first. The settings of the stack, or of --config, are
brought to the server (/etc/townsquare), as what is checked depends on them.

Exit codes: 0 it could be done, or nothing is to do; 1 an error, 2 not understood,
3 refused: something has to be put right first, 5 a run could not be rolled back and needs
an operator, 11 a run is in progress.`,
		Example: "  upgrade plan --stack prod\n  upgrade plan --stack prod --to 9.10.0\n  upgrade plan --stack prod --all",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runPlan(cmd.Context(), &f, c, system)
		},
	}
	c.add(cmd)
	cmd.Flags().BoolVar(&system, "all", false, "of Mattermost and the operating system, with one restart")
	f.add(cmd)
	a.keepFlags(cmd)
	a.common(cmd, &f.targetFlags)
	return cmd
}

func (a *app) runPlan(ctx context.Context, f *fleetFlags, c choiceFlags, system bool) error {
	if found := append(c.check(), f.check()...); len(found) > 0 {
		return &usageError{problems: found}
	}
	a.printer.Given = c.given()
	look := func(ctx context.Context, a *app, t *targetFlags) (phase.Preview, error) {
		s, err := a.open(ctx, t)
		if err != nil {
			return phase.Preview{}, err
		}
		defer s.close()
		r := request{Operation: "apply", Options: phase.Options{To: c.to, Retry: c.retry}}
		if system {
			return a.lookAtAll(ctx, s, r.Options)
		}
		return a.look(ctx, s, "plan", r)
	}
	if f.several() {
		return a.lookFleet(ctx, f, look)
	}
	plan, err := look(ctx, a, &f.targetFlags)
	if err := a.keep(&f.targetFlags, ui.Result{Plan: &plan, Exit: plan.Exit}, err); err != nil {
		return err
	}
	if err := a.busy(plan); err != nil {
		return err
	}
	if err := a.printer.Plan(plan); err != nil {
		return err
	}
	return exitWith(plan.Exit)
}

// lookAtAll plans for Mattermost and the system; where only one has something to do, for that.
func (a *app) lookAtAll(ctx context.Context, s *session, o phase.Options) (phase.Preview, error) {
	plan, err := a.look(ctx, s, "plan", request{Operation: "all", Options: o})
	if err == nil && plan.Instead != "" {
		return a.look(ctx, s, "plan", request{Operation: a.instead(plan), Options: o})
	}
	return plan, err
}
