package phase

import (
	"context"
	"errors"
	"path/filepath"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Rollback goes back to the version before the last upgrade, long after it was kept. The old version
// is tried on a copy first; from Stop on it is like an upgrade, and undone like one.
func Rollback() []Phase {
	return append(lookBack(),
		LockBack{},
		BackupBack{},
		TryBack{},
		Stop{}, // the service is away from here
		SpareBack{},
		TakeBack{},
		SwapBack{},
		StartBack{},
		Verify{},
		Open{}, // it is back
		Watch{},
		Commit{},
	)
}

// lookBack is the beginning of Rollback that changes nothing.
func lookBack() []Phase { return []Phase{Facts{}, FindWays{}, CheckBack{}} }

// CheckBack looks for what would stop the rollback.
type CheckBack struct{}

// Title says what a person reads.
func (CheckBack) Title() string { return "check that it can be done" }

// Run returns a problem.List. A version that is ill is no reason: it may be why somebody goes back.
func (CheckBack) Run(ctx context.Context, op *Operation) error {
	f, way := op.Facts, op.way()
	if way == nil { // nothing is begun before one is chosen
		return nil
	}
	if _, isBackup := backupOf(way.Name); isBackup {
		return nil // the restore looks for itself
	}
	found, err := checkPrograms(ctx, op)
	if err != nil {
		return err
	}
	list, err := checkReturning(ctx, op, op.Record.Return.Database)
	if err != nil {
		return err
	}
	found = append(found, list...)
	r := &room{}
	needTrial(ctx, op, r, op.Record.Return.Dir, 2)
	r.need(state.Dir, uint64(f.Schema.Heap)+spareBytes, 0, "a dump of the database")
	short, err := r.problems(space)
	if err != nil {
		return err
	}
	return append(found, short...).Err()
}

// needTrial asks for the room of a trial: copies of the database, and of what a server writes to.
func needTrial(ctx context.Context, op *Operation, r *room, version string, copies uint64) {
	f := op.Facts
	if f.Database.Local() {
		if admin, err := findAdmin(ctx, f.Database); err == nil {
			if data := admin.DataDirectory(ctx); data != "" {
				r.need(data, copies*(uint64(f.Schema.Bytes)+uint64(f.Schema.Bytes)/10)+spareBytes, 0, "copies of the database")
			}
		}
	}
	weight := size(filepath.Join(version, "client")) + size(f.PluginDir())
	r.need(mattermost.SandboxDir(f.Link), weight+spareBytes/4, 0, "a copy of the web client and the plugins")
}

// LockBack takes the host for this run and opens the record of it.
type LockBack struct{}

// Title says what a person reads.
func (LockBack) Title() string { return Lock{}.Title() }

// Describe says it for a plan.
func (LockBack) Describe(op *Operation) string { return Lock{}.Describe(op) }

// Run saves what putting back needs and is known already: here the version that serves is the one
// to put back.
func (LockBack) Run(ctx context.Context, op *Operation) error {
	f, back, way := op.Facts, op.Record.Return, op.way()
	if way == nil {
		return errors.New("no way back was chosen")
	}
	if _, isBackup := backupOf(way.Name); isBackup {
		return errors.New("a backup is gone back to by a restore")
	}
	run := state.Run{
		From: f.Version.String(), To: back.From, Edition: string(f.Edition), Unit: f.Unit.Name, Link: f.Link, OldTarget: f.OldTarget,
		NewTarget: back.Dir, Address: f.Health.URL, ServerName: f.Health.ServerName, Port: f.Port, Way: way.Name,
	}
	switch way.Name {
	case WayDowngrade:
		run.Migrates = back.Migrated
	case WayCheckpoint:
		// Where no role may copy the database it must be dumped, as the older dump is put in its place.
		run.Kept, run.Migrates = back.Checkpoint, back.Checkpoint == ""
	}
	if err := anchor(ctx, &run, f); err != nil {
		return err
	}
	return op.Acquire(ctx, run)
}

// BackupBack is Backup for somebody who must go back: that the repository cannot be reached is no
// reason to stay.
type BackupBack struct{ Backup }

// Run fails only when the dump on this host does, on which the version before is tried.
func (BackupBack) Run(ctx context.Context, op *Operation) error {
	if err := dumpHere(ctx, op); err != nil {
		return err
	}
	if err := offHost(ctx, op); err != nil {
		if ctx.Err() != nil {
			return err
		}
		op.Warn("no backup was made off this host: %v", err)
	}
	return nil
}

// SwapBack is Swap in the other direction.
type SwapBack struct{ Swap }

// Describe says it for a plan.
func (SwapBack) Describe(op *Operation) string {
	return op.Facts.Link + " leads to " + op.Choice.Next.Version.String()
}

// StartBack is Start of the version before.
type StartBack struct{ Start }

// Title says what a person reads.
func (StartBack) Title() string { return "start the version before" }

// Describe says it for a plan.
func (StartBack) Describe(op *Operation) string {
	return "and wait until it is ready, at most " + printable.Duration(readyTimeout)
}
