package phase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/untrusted"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// planTimeout bounds asking the new version for its migrations; it takes a second.
const planTimeout = 60 * time.Second

// Fetch downloads the release, proves it genuine, unpacks it beside the version that serves and
// furnishes it, so that nothing is copied while the service is away.
type Fetch struct{}

// Title says what a person reads.
func (Fetch) Title() string { return "download and unpack" }

// Describe says it for a plan.
func (Fetch) Describe(op *Operation) string {
	next := op.Choice.Next
	dir := mattermost.VersionDir(op.Facts.Link, next.Dir())
	if release.IsComplete(dir) {
		return fmt.Sprintf("nothing to download: %s is there", dir)
	}
	return fmt.Sprintf("%s, verified by checksum and signature, into %s", next.URL, dir)
}

// Run leaves a complete version in Run.NewTarget. What it leaves when the run fails later is used
// by the next one, or pruned.
func (Fetch) Run(ctx context.Context, op *Operation) error {
	run, next, f := op.Record.Run, *op.Choice.Next, op.Facts
	if _, failed := op.Record.Bad[run.To]; failed {
		// A second chance begins with files that nobody has used.
		if err := release.Remove(run.NewTarget); err != nil {
			return err
		}
	}
	program := f.Program(run.NewTarget)
	if release.IsComplete(run.NewTarget) {
		op.Note("%s is unpacked already", run.NewTarget)
	} else if err := unpack(ctx, op, next, program); err != nil {
		return err
	}
	added, err := belongings(ctx, op)
	if err != nil {
		return err
	}
	if err := furnish(ctx, op, append(added, f.Places...)); err != nil {
		return err
	}
	return planMigrations(ctx, op, program)
}

// furnish gives the version its places. One in which the service's user has put a link in their way is
// unpacked anew, unless it is the version that serves.
func furnish(ctx context.Context, op *Operation, places []mattermost.Place) error {
	run, next, f := op.Record.Run, *op.Choice.Next, op.Facts
	err := mattermost.Furnish(run.NewTarget, f.Unit.User, places)
	switch {
	case !errors.Is(err, untrusted.ErrLink):
		return err
	case f.Dir == run.NewTarget:
		return &linkError{cause: err, dir: run.NewTarget}
	}
	op.Warn("%v: it is unpacked anew", err)
	if err := release.Remove(run.NewTarget); err != nil {
		return err
	}
	if err := unpack(ctx, op, next, f.Program(run.NewTarget)); err != nil {
		return err
	}
	return mattermost.Furnish(run.NewTarget, f.Unit.User, places)
}

// linkError is returned for a link of the service's user in the version that serves.
type linkError struct {
	cause error
	dir   string
}

func (e *linkError) Error() string { return e.cause.Error() }
func (e *linkError) Unwrap() error { return e.cause }

// Hint lists the links below the directory that the service's user can change.
func (e *linkError) Hint() string {
	return "remove the link that leads elsewhere: sudo find " + filepath.Join(e.dir, "client") + " -type l -ls"
}

func unpack(ctx context.Context, op *Operation, next release.Release, program mattermost.Program) error {
	run, f := op.Record.Run, op.Facts
	progress := func(done, total int64) { op.Progress(done, total, "bytes") }
	archive, err := op.Releases.Fetch(ctx, next, progress)
	if err != nil {
		return fmt.Errorf("download %s: %w", next.Name(), err)
	}
	// A server that is being taken over has no place for versions yet.
	if err := os.MkdirAll(filepath.Dir(run.NewTarget), 0o755); err != nil {
		return err
	}
	if _, err = release.Extract(ctx, archive, run.NewTarget, progress); err != nil {
		return fmt.Errorf("unpack %s: %w", next.Name(), err)
	}
	if err := mattermost.SetCapability(filepath.Join(run.NewTarget, "bin", "mattermost"), f.Capability); err != nil {
		return err
	}
	build, err := program.Version(ctx)
	var exit *host.ExitError
	switch {
	case errors.As(err, &exit) && exit.Code > 0: // not one that a signal ended, such as for want of memory
		return &BadVersion{Version: run.To, Cause: err}
	case err != nil:
		return err
	case build.Number != run.To:
		return &BadVersion{Version: run.To, Cause: fmt.Errorf("the program in %s calls itself %s", next.Name(), build.Number)}
	case build.Enterprise != (next.Edition == release.Enterprise):
		return &BadVersion{Version: run.To, Cause: fmt.Errorf("the program in %s is not of the %s edition", next.Name(), next.Edition)}
	}
	return release.MarkComplete(run.NewTarget, next)
}

// planMigrations finds out whether the database will change. Where the new version cannot tell it
// is assumed to, unless only the patch number differs.
func planMigrations(ctx context.Context, op *Operation, program mattermost.Program) error {
	run, f := op.Record.Run, op.Facts
	run.Migrates = !f.Installed() || f.Version.Minor() != op.Choice.Next.Version.Minor()
	if f.Schema.Empty() {
		return op.Save() // the very first start fills the database
	}
	ctx, cancel := context.WithTimeoutCause(ctx, planTimeout, errors.New("it took too long"))
	defer cancel()
	plan, err := program.PlanMigrations(ctx, filepath.Join(state.Dir, "plans", run.ID+".json"))
	switch {
	case err != nil:
		run.Migrates = true
		op.Warn("%s cannot say what it would change in the database (%v): it is treated as if it would", run.To, err)
	case plan.Known:
		run.Migrates, run.SchemaTarget, run.Plan = plan.Count > 0, plan.To, plan.File
		switch plan.Count {
		case 0:
			op.Note("no migrations of the database to run")
		case 1:
			op.Note("1 migration of the database to run")
		default:
			op.Note("%d migrations of the database to run", plan.Count)
		}
	}
	return op.Save()
}
