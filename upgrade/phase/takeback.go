package phase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
)

// takeBack lets the new version undo its migrations, with a copy of the database at hand in case it
// cannot. Where no copy can be made it goes without: what a failed attempt leaves, the new version's
// next start migrates again.
func takeBack(ctx context.Context, op *Operation, unit *mattermost.Unit, db *mattermost.Database, since time.Time) error {
	run := op.Record.Run
	if run.Plan == "" {
		return fmt.Errorf("%s has no plan by which it could take its migrations back", run.To)
	}
	tables, err := mattermost.NewTables(run.Plan)
	if err != nil {
		return err
	}
	admin, err := makeSpare(ctx, op, db, since)
	if err != nil {
		return err
	}
	drops, err := db.CountRows(ctx, tables) // that people made on the new version only
	if err != nil {
		return err
	}
	program := mattermost.Program{Dir: run.NewTarget, User: unit.User, Env: unit.Environ(), Config: run.ConfigPath, Run: host.Run}
	err = program.Downgrade(ctx, run.Plan)
	if err == nil {
		var now string
		if now, err = db.AppliedMigrations(ctx); err == nil && now != run.SchemaBefore {
			err = fmt.Errorf("the database is at %s, not at %s", now, run.SchemaBefore)
		}
	}
	switch {
	case admin == nil && err == nil && len(drops) > 0:
		op.Warn("gone with the migrations, as only %s knows it: %s; no copy of it could be made", run.To, list(drops))
		return nil
	case admin == nil:
		return err
	case err != nil:
		return errors.Join(err, admin.PutBack(ctx, run.Spare, spareFailed(db, since)))
	case len(drops) > 0:
		op.Warn("gone with the migrations, as only %s knows it: %s; the database with it is kept as %s", run.To, list(drops), run.Spare)
		return admin.Drop(ctx, spareFailed(db, since))
	}
	return errors.Join(admin.Drop(ctx, run.Spare), admin.Drop(ctx, spareFailed(db, since)))
}

// makeSpare copies the database as it is before its migrations are taken back; the admin is nil
// where that cannot be. One that an interrupted attempt left is put back first, unless somebody has
// written since it was made: what that attempt did to the database is not known.
func makeSpare(ctx context.Context, op *Operation, db *mattermost.Database, since time.Time) (*mattermost.Admin, error) {
	run := op.Record.Run
	admin, err := findAdmin(ctx, db)
	if errors.Is(err, mattermost.ErrNoAdmin) {
		op.Warn("the migrations are taken back without a copy at hand: %v", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !run.SpareAt.IsZero() {
		written, err := db.Written(ctx, run.SpareAt)
		if err != nil {
			return nil, err
		}
		if len(written) == 0 {
			if err := admin.PutBack(ctx, run.Spare, spareFailed(db, since)); err != nil {
				return nil, err
			}
		}
	}
	// The record must not go on saying that there is one to put back: it is the database now.
	run.Spare, run.SpareAt = mattermost.CheckpointName(db.Name, since.Add(time.Second)), time.Time{} // the run's own checkpoint has another name
	if err := op.Save(); err != nil {
		return nil, err
	}
	if err := admin.Drop(ctx, spareFailed(db, since)); err != nil {
		return nil, err
	}
	if err := admin.Checkpoint(ctx, run.Spare); err != nil {
		if uncopyable(err) {
			op.Warn("the migrations are taken back without a copy at hand: %v", err)
			return nil, nil
		}
		return nil, err
	}
	run.SpareAt = time.Now().UTC()
	return admin, op.Save()
}

// spareFailed is what the database is called that a spare replaced.
func spareFailed(db *mattermost.Database, since time.Time) string {
	return mattermost.FailedName(db.Name, since.Add(time.Second))
}
