package phase

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Undo decides, once users were let in, how to go back without losing what they wrote; the undos
// after it do what it decided. Nothing was written: the checkpoint may be put back. The database
// fits the old version as it is: it is kept. The new version can take its own migrations back: it
// does. Else the new version stays, and a person decides.
func (Open) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	since := exposed(run)
	if since.IsZero() || !run.Stopped || run.KeepData {
		return nil
	}
	op.Down()
	run.GateClosed = true
	if err := op.Save(); err != nil {
		return err
	}
	if err := gate(run).Close(ctx); err != nil {
		return err
	}
	if err := service(run).Kill(ctx); err != nil {
		return err
	}
	unit, db, err := mattermost.Reopen(ctx, nil, run.Unit, run.Link, run.ConfigPath, run.ConfigCopy)
	if err != nil {
		return err
	}
	if err := db.ClearOrphans(ctx); err != nil {
		return err
	}
	written, err := db.Written(ctx, since)
	if err != nil {
		return err
	}
	if len(written) == 0 {
		return nil
	}
	op.Note("users wrote since %s: %s", since.Local().Format(time.TimeOnly), list(written))
	now, err := db.AppliedMigrations(ctx)
	if err != nil {
		return err
	}
	if now != run.SchemaBefore {
		if err := takeBack(ctx, run, unit, db, since); err != nil {
			return keepNew(ctx, op, &kept{why: err, since: since, written: list(written), run: *run, database: db.Name})
		}
		op.Note("the database's migrations are taken back, with everything written since")
	}
	run.KeepData = true
	return op.Save()
}

// exposed is the moment from which users may have written; zero when they cannot have. A reboot
// opens the gate and starts the service, whichever version the link led to then.
func exposed(run *state.Run) time.Time {
	if !run.OpenedAt.IsZero() {
		return run.OpenedAt
	}
	if _, boot := host.Process(); boot != run.BootID {
		return run.StoppedAt
	}
	return time.Time{}
}

// takeBack lets the new version undo its migrations, with a copy of the database at hand in case
// it cannot.
func takeBack(ctx context.Context, run *state.Run, unit *mattermost.Unit, db *mattermost.Database, since time.Time) error {
	if run.Plan == "" {
		return fmt.Errorf("%s has no plan by which it could take its migrations back", run.To)
	}
	admin, err := findAdmin(ctx, db)
	if err != nil {
		return err
	}
	at := since.Add(time.Second) // the run's own checkpoint has another name
	spare := mattermost.CheckpointName(db.Name, at)
	if err := admin.Checkpoint(ctx, spare); err != nil {
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
	if err != nil {
		return errors.Join(err, admin.PutBack(ctx, spare, mattermost.FailedName(db.Name, at)))
	}
	return admin.Drop(ctx, spare)
}

// keepNew leaves the new version in place, as the only one that has what users wrote.
func keepNew(ctx context.Context, op *Operation, err *kept) error {
	run := op.Record.Run
	if e := service(run).Start(ctx); e != nil {
		err.why = errors.Join(err.why, e)
	}
	if e := gate(run).Open(ctx); e != nil {
		err.why = errors.Join(err.why, e)
	}
	op.Up()
	// Nothing is to be put back by a later run either.
	op.Record.Active, op.Record.Previous = run.To, run.From
	run.Committed, run.GateClosed = true, false
	return errors.Join(err, op.Save())
}

// kept says that going back would have lost what users wrote.
type kept struct {
	why      error
	since    time.Time
	written  string
	run      state.Run
	database string
}

func (e *kept) Error() string {
	return fmt.Sprintf("%s stays: going back would lose what users wrote since %s (%s), and it cannot be taken along: %v",
		e.run.To, e.since.Local().Format(time.DateTime), e.written, e.why)
}

func (e *kept) Unwrap() error { return e.why }

// Hint is what a person types to go back all the same.
func (e *kept) Hint() string {
	old := e.run.OldTarget
	if old == "" {
		old = e.run.AdoptedFrom
	}
	psql := `su postgres -c psql`
	if _, err := os.Stat(state.AdminFile); err == nil {
		psql = `psql "$(cat ` + state.AdminFile + `)"`
	}
	return strings.Join([]string{
		"journalctl -u " + e.run.Unit + " -n 50    # why it fails; to go back and lose what was written since, as root:",
		"systemctl stop " + e.run.Unit,
		fmt.Sprintf(`echo 'alter database %s rename to %s_new; alter database %s rename to %s' | %s`,
			e.database, e.database, e.run.Checkpoint, e.database, psql),
		"ln -sfn " + old + " " + e.run.Link,
		"cp " + e.run.ConfigCopy + " " + e.run.ConfigPath,
		"systemctl start " + e.run.Unit}, "\n")
}

func list(written map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(written)) {
		parts = append(parts, fmt.Sprintf("%d %s", written[kind], kind))
	}
	return strings.Join(parts, ", ")
}
