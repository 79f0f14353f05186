package phase

import (
	"context"
	"fmt"
	"path/filepath"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// Lock takes the host for this run and opens the record of it.
type Lock struct{}

// Title says what a person reads.
func (Lock) Title() string { return "lock the host" }

// Run saves what putting back needs and is known already.
func (Lock) Run(ctx context.Context, op *Operation) error {
	f, next := op.Facts, op.Choice.Next
	run := state.Run{
		To: next.Version.String(), Edition: string(next.Edition), Unit: f.Unit.Name, Link: f.Link, OldTarget: f.OldTarget,
		NewTarget: mattermost.VersionDir(f.Link, next.Dir()), Address: f.Health.URL, ServerName: f.Health.ServerName, Port: f.Port,
	}
	if f.Installed() {
		run.From = f.Version.String()
	}
	if f.Plain {
		run.AdoptedFrom = adoptedDir(f)
	}
	if err := anchor(ctx, &run, f); err != nil {
		return err
	}
	for _, p := range f.Places {
		if p.Move {
			run.Moves = append(run.Moves, state.Move{From: filepath.Join(f.Dir, p.Name), To: p.Target})
		}
	}
	if op.OS != nil {
		run.System = &state.System{Packages: op.OS.Changes()}
	}
	return op.Acquire(ctx, run)
}

// anchor saves in run by what its undo finds the database, and that it is the same.
func anchor(ctx context.Context, run *state.Run, f *mattermost.Installation) error {
	if !f.Config.InDatabase {
		run.ConfigPath = f.Config.Path
	}
	id, err := f.Database.Identify(ctx)
	run.Database = state.Database(id)
	return err
}

// claim is what the record has of the service and its database.
func claim(ctx context.Context, run *state.Run) (mattermost.Claim, error) {
	return mattermost.Reopen(ctx, nil, mattermost.Anchor{Unit: run.Unit, Link: run.Link, ConfigPath: run.ConfigPath, ConfigCopy: run.ConfigCopy,
		Database: mattermost.Identity(run.Database)})
}

// reopen finds the database of the run again.
func reopen(ctx context.Context, run *state.Run) (*mattermost.Unit, *mattermost.Database, error) {
	c, err := claim(ctx, run)
	return c.Unit, c.Database, err
}

// adoptedDir is where a directory made by hand is kept once a link takes its place.
func adoptedDir(f *mattermost.Installation) string {
	return mattermost.VersionDir(f.Link, fmt.Sprintf("%s-%s-adopted", f.Version, f.Edition))
}

// Describe says it for a plan.
func (Lock) Describe(op *Operation) string { return "nobody else works on this host meanwhile" }

// service, health and gate are those of the run in the record, for going forward and back.
func service(run *state.Run) mattermost.Service { return mattermost.Service{Unit: run.Unit} }

func health(run *state.Run) mattermost.Health {
	return mattermost.Health{URL: run.Address, ServerName: run.ServerName}
}

func gate(run *state.Run) mattermost.Gate { return mattermost.Gate{Port: run.Port} }
