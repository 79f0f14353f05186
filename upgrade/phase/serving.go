package phase

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// claimed is what Facts found, to be compared with the process that runs.
func (op *Operation) claimed() mattermost.Claim {
	c := op.Facts.Claim()
	c.Proc = op.proc
	return c
}

// checkServing refuses a running service that uses another database or configuration than those that
// were found, or whose connection to the database cannot be seen.
func checkServing(ctx context.Context, op *Operation) (problem.List, error) {
	if !op.Facts.Installed() {
		return nil, nil
	}
	e, err := op.claimed().Check(ctx)
	if err != nil {
		return nil, err
	}
	if e.Server == nil && len(e.Wrong) == 0 {
		op.Note("%s does not run: that it uses the database %s is taken from its unit and configuration", op.Facts.Unit.Name, op.Facts.Database.Name)
	}
	if len(e.Hidden) > 0 {
		op.Warn("%s has settings in its environment that its unit does not have, and that are not seen here: %s", e.Server, strings.Join(e.Hidden, ", "))
	}
	return append(e.Wrong, e.Unseen...), nil
}

// checkOthers refuses a program that another service uses as well.
func checkOthers(ctx context.Context, op *Operation) (problem.List, error) {
	if !op.Facts.Installed() {
		return nil, nil
	}
	return op.claimed().Others(ctx, op.Facts.Link)
}

// checkReturning is checkServing for a version that may be ill: that it has no connection to its
// database is no reason to keep it. The database must be the one that was upgraded.
func checkReturning(ctx context.Context, op *Operation, upgraded state.Database) (problem.List, error) {
	f := op.Facts
	found, err := checkOthers(ctx, op)
	if err != nil {
		return nil, err
	}
	err = f.Database.Confirm(ctx, mattermost.Identity(upgraded))
	if errors.Is(err, mattermost.ErrOtherDatabase) {
		return append(found, problem.Problem{Where: f.Unit.Name, Found: "it uses the database " + f.Database.Name + " on " + f.Database.Host,
			Allowed: mattermost.Identity(upgraded).String() + ", of which the version before was kept",
			Hint:    "sudo systemctl show --property=Environment,EnvironmentFiles " + f.Unit.Name}), nil
	}
	if err != nil || !f.Installed() {
		return found, err
	}
	e, err := op.claimed().Check(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range e.Unseen {
		op.Warn("%s", p)
	}
	return append(found, e.Wrong...), nil
}

// ownDatabase fails unless the service that runs again is seen to use the database of the run; the
// database is returned for a look at its migrations.
func ownDatabase(ctx context.Context, op *Operation, run *state.Run) (*mattermost.Database, error) {
	c, err := claim(ctx, run)
	if err != nil {
		return nil, err
	}
	c.Proc = op.proc
	e, err := c.Check(ctx)
	if err == nil {
		err = append(e.Wrong, e.Unseen...).Err()
	}
	if err == nil && e.Server == nil {
		err = fmt.Errorf("%s does not run", run.Unit)
	}
	if err != nil {
		return nil, fmt.Errorf("find the database that it uses: %w", err)
	}
	return c.Database, nil
}
