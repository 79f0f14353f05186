package phase

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/mattermost"
)

// tryFor is how long a version that is tried must go on to answer well.
const tryFor = 3 * time.Second

// TryBack tries the version before on a copy of the database as it will be, where nobody sees it.
type TryBack struct{}

// Title says what a person reads.
func (TryBack) Title() string { return "try the version before on a copy" }

// Describe says it for a plan.
func (TryBack) Describe(op *Operation) string {
	return fmt.Sprintf("%s starts on a copy of the database, in a network of its own; %s serves meanwhile", op.Choice.Next.Version, op.Facts.Version)
}

// Run leaves nothing behind.
func (TryBack) Run(ctx context.Context, op *Operation) (err error) {
	back := op.Record.Return
	config, err := trialConfig(op)
	if err != nil {
		return err
	}
	t, err := newTrial(ctx, op, back.Dir, config)
	if errors.Is(err, mattermost.ErrNoAdmin) {
		op.Warn("no role here may make a database: %s cannot be tried on a copy first", back.From)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endTrial(context.WithoutCancel(ctx), op)) }()
	if err := t.fillBack(ctx, op); err != nil {
		return fmt.Errorf("on a copy of the database: %w", err)
	}
	if _, err := t.start(ctx, op, back.From, readyTimeout, tryFor); err != nil {
		return fmt.Errorf("on a copy of the database, %s: %w", back.From, err)
	}
	now, err := t.db.AppliedMigrations(ctx)
	if err == nil && now != back.Schema {
		err = fmt.Errorf("on a copy of the database, %s left it at %s, not at %s", back.From, now, back.Schema)
	}
	return err
}

// Undo removes what a killed run left.
func (TryBack) Undo(ctx context.Context, op *Operation) error { return endTrial(ctx, op) }

func trialConfig(op *Operation) ([]byte, error) {
	if op.Facts.Config.InDatabase {
		return op.Facts.Config.Bytes()
	}
	return backConfig(op.Record.Return, op.Facts.Unit.User, op.Facts.Config.Path)
}

// fillBack makes the scratch database what the chosen way will make of the real one.
func (t *trial) fillBack(ctx context.Context, op *Operation) error {
	run, back := op.Record.Run, op.Record.Return
	switch {
	case run.Kept != "":
		return t.admin.ScratchOf(ctx, run.Kept, t.db.Name)
	case run.Way == WayCheckpoint:
		return t.fill(ctx, op, back.Dump)
	}
	if err := t.fill(ctx, op, run.Dump); err != nil || !run.Migrates {
		return err
	}
	before, err := t.db.CountAll(ctx)
	if err != nil {
		return err
	}
	if err := t.program(op, run.OldTarget).Downgrade(ctx, back.Plan); err != nil {
		return err
	}
	now, err := t.db.AppliedMigrations(ctx)
	if err != nil {
		return err
	}
	if now != back.Schema {
		return fmt.Errorf("db downgrade left it at %s, and %s needs %s", now, back.From, back.Schema)
	}
	after, err := t.db.CountAll(ctx)
	if err != nil {
		return err
	}
	return missing(op, before, after)
}

// missing wants everything that people wrote to be in after. That other tables lost rows, or are
// gone, is a warning: the newer version made them.
func missing(op *Operation, before, after mattermost.Rows) error {
	var lost []error
	for _, table := range slices.Sorted(maps.Keys(before)) {
		had, has := before[table], after[table]
		_, name, _ := strings.Cut(table, ".")
		switch {
		case has >= had || name == "db_migrations" || name == "db_lock":
		case mattermost.Content(name):
			lost = append(lost, fmt.Errorf("db downgrade took %d of %d rows out of %s", had-has, had, name))
		default:
			op.Warn("going back takes %d of %d rows out of %s", had-has, had, name)
		}
	}
	return errors.Join(lost...)
}

// sitePath is the path of the public address, under which the server answers.
func sitePath(op *Operation) string {
	site, err := url.Parse(op.Facts.SiteURL)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(site.Path, "/")
}
