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

// databaseTimeout is how long the way back waits for a database that does not answer: a managed
// one that fails over takes about a minute.
const databaseTimeout = 5 * time.Minute

// The way back is tried settleTries times before it is given up: a database that dies in the middle
// of it is there again in a moment, and reach waits for it.
const (
	settleTries = 2
	settlePause = 2 * time.Second
)

// settle ends the new version and makes the database fit the old one, before the link goes back:
// whatever boots in between must find the two that belong together. It may be called again after
// any interruption, and decides by what it finds:
//
//   - the schema is as it was, and users may have written: nothing is put back;
//   - nobody can have written, or nobody did: the copy made at the stop is put back;
//   - users wrote: the new version takes its own migrations back, with everything written since;
//   - and where it cannot, it stays, and an operator decides;
//   - of a restore: users wrote on what was restored: it stays.
func settle(ctx context.Context, op *Operation) error {
	for try := 1; ; try++ {
		err := settleOnce(ctx, op)
		if err == nil {
			return nil
		}
		late := ctx.Err() != nil
		if late { // to leave the service well takes a time of its own
			var cancel context.CancelFunc
			ctx, cancel = op.within(context.WithoutCancel(ctx), max(undoTimeout, patience(op)), "giving up")
			defer cancel()
		}
		var k *kept
		switch {
		case errors.Is(err, ErrUnreachable):
			return giveUp(ctx, op, err)
		case try < settleTries && !late:
			op.Warn("%v; once more", err)
		case !reachable(ctx, op.Record.Run):
			return giveUp(ctx, op, errors.Join(ErrUnreachable, err))
		case errors.As(err, &k):
			return keepNew(ctx, op, k)
		default:
			return giveUp(ctx, op, err)
		}
		select {
		case <-time.After(settlePause):
		case <-ctx.Done():
		}
	}
}

func settleOnce(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if run.Way != "" {
		return unroll(ctx, op)
	}
	unit, db, err := reach(ctx, run)
	if err != nil {
		return err
	}
	now, err := db.AppliedMigrations(ctx)
	if err != nil {
		return err
	}
	if rebooted(run) && leadsToOld(run) && now == run.SchemaBefore {
		return nil // the old version may be serving already
	}
	if err := service(run).Kill(ctx); err != nil {
		return err
	}
	if err := db.ClearOrphans(ctx); err != nil {
		op.Warn("what the new version left in the database may still be there: %v", err)
	}
	if run.Operation == "restore" {
		return stays(ctx, run, db)
	}
	if run.SchemaBefore == "" && !run.CheckpointComplete {
		return nil // it never came to the point where the new version could start
	}
	if err := fit(ctx, op, unit, db); err != nil {
		return err
	}
	if now, err = db.AppliedMigrations(ctx); err != nil {
		return err
	}
	if run.From != "" && now != run.SchemaBefore {
		return fmt.Errorf("the database is at %s and %s needs %s: the dump from before is %s", now, run.From, run.SchemaBefore, run.Dump)
	}
	return nil
}

// ErrAgain says that the way back is not done, and that the host tries it again by itself.
var ErrAgain = errors.New("the host tries again by itself")

// ErrUnreachable is an ErrAgain: the way back waits for a database.
var ErrUnreachable = fmt.Errorf("the database does not answer; %w", ErrAgain)

// reach finds the database again from the disk, and waits until it answers.
func reach(ctx context.Context, run *state.Run) (*mattermost.Unit, *mattermost.Database, error) {
	deadline := time.Now().Add(databaseTimeout)
	for {
		unit, db, err := reopen(ctx, run)
		if err == nil {
			if _, err = db.AppliedMigrations(ctx); err == nil {
				return unit, db, nil
			}
		}
		if errors.Is(err, mattermost.ErrOtherDatabase) {
			return nil, nil, err
		}
		if time.Now().After(deadline) {
			if !mattermost.Away(err) {
				return nil, nil, err
			}
			return nil, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// reachable says whether the database answers now.
func reachable(ctx context.Context, run *state.Run) bool {
	_, db, err := reopen(ctx, run)
	if err == nil {
		_, err = db.AppliedMigrations(ctx)
	}
	return err == nil || !mattermost.Away(err)
}

// fit makes the database what it was at the stop, or as good as that; a *kept says it cannot.
func fit(ctx context.Context, op *Operation, unit *mattermost.Unit, db *mattermost.Database) error {
	run := op.Record.Run
	now, err := db.AppliedMigrations(ctx)
	if err != nil {
		return err
	}
	since := exposed(run)
	if since.IsZero() || emptied(run, now) {
		return putBack(ctx, op, db)
	}
	if now == run.SchemaBefore {
		return nil
	}
	written, err := db.Written(ctx, since)
	if err != nil {
		return err
	}
	if len(written) == 0 && op.Boot && run.OpenedAt.IsZero() {
		return putBack(ctx, op, db)
	}
	op.Note("users may have written since %s (%s)", since.Local().Format(time.TimeOnly), list(written))
	why := takeBack(ctx, op, unit, db, since)
	if why == nil {
		op.Note("the database's migrations are undone; what users wrote since stays")
		return nil
	}
	if len(written) == 0 && (run.CheckpointComplete || stoppedDump(run) != "") {
		return putBack(ctx, op, db)
	}
	return &kept{why: why, since: since, written: list(written), run: *run}
}

// putBack puts the copy made at the stop in the database's place; done once, it does nothing.
func putBack(ctx context.Context, op *Operation, db *mattermost.Database) error {
	run := op.Record.Run
	if run.CheckpointComplete {
		admin, err := findAdmin(ctx, db)
		if err != nil {
			return err
		}
		return admin.PutBack(ctx, run.Checkpoint, mattermost.FailedName(db.Name, run.Started))
	}
	now, err := db.AppliedMigrations(ctx)
	if err != nil || now == run.SchemaBefore || stoppedDump(run) == "" {
		return err
	}
	return restore(ctx, op, db, run.StoppedDump)
}

// restore exchanges what is in the database for the dump at path, at once where it has room for
// both. Where it has not, what is there goes first; no server starts on what that leaves.
func restore(ctx context.Context, op *Operation, db *mattermost.Database, path string) error {
	schema, err := db.Inspect(ctx)
	if err != nil {
		return err
	}
	tools, err := mattermost.FindTools(ctx, host.Run, schema.Server)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	why := tight(ctx, db, schema)
	if why == nil {
		if err := db.RestoreDump(ctx, tools, path); !errors.Is(err, mattermost.ErrNoRoom) {
			return err
		} else {
			why = err
		}
	}
	op.Warn("%v: what is there is dropped before the dump takes its place", why)
	if err := db.Clear(ctx); err != nil {
		return err
	}
	return db.RestoreDump(ctx, tools, path)
}

// tight says that the disk of a database on this host has no room for another such; nil where it has,
// or nobody knows.
func tight(ctx context.Context, db *mattermost.Database, schema mattermost.Schema) error {
	admin, err := findAdmin(ctx, db)
	if err != nil || !db.Local() {
		return nil //nolint:nilerr // who may not look finds out
	}
	if dir := admin.DataDirectory(ctx); dir != "" {
		if free, _, _, err := space(dir); err == nil && free < copyBytes(schema) {
			return mattermost.ErrNoRoom
		}
	}
	return nil
}

// emptied says that the old version's database is none any more, at the migrations now: a restore in
// two steps ended between them, or somebody dropped it. A server would start on it as on a new one.
func emptied(run *state.Run, now string) bool {
	return run.SchemaBefore != "" && mattermost.Emptied(now)
}

// exposed is the moment from which users may have written; zero when they cannot have. A reboot
// opens the gate and starts the service, whichever version the link led to then.
func exposed(run *state.Run) time.Time {
	if !run.OpenedAt.IsZero() {
		return run.OpenedAt
	}
	if rebooted(run) {
		return run.StoppedAt
	}
	return time.Time{}
}

func rebooted(run *state.Run) bool {
	_, boot := host.Process()
	return boot != run.BootID
}

// leadsToOld says whether the install path is what it was before the run.
func leadsToOld(run *state.Run) bool {
	if run.AdoptedFrom != "" {
		info, err := os.Lstat(run.Link)
		return err == nil && info.IsDir()
	}
	target, err := os.Readlink(run.Link)
	return run.OldTarget != "" && err == nil && target == run.OldTarget
}

// keepNew leaves the new version in place, as the only one that has what users wrote.
func keepNew(ctx context.Context, op *Operation, k *kept) error {
	run := op.Record.Run
	started := errors.Join(service(run).Start(ctx), gate(run).Open(ctx))
	if st, err := service(run).Status(ctx); err == nil && started == nil && st.PID != 0 {
		k.serves = awaitHealth(ctx, run, st.PID, run.To, verifyTimeout) == nil
	}
	k.why = errors.Join(k.why, started)
	op.Up()
	stopAgain(ctx, op)
	// Nothing is to be put back by a later run either.
	conclude(op.Record, run)
	run.Committed = true
	return errors.Join(k, op.Save())
}

// kept says that going back would have lost what users wrote.
type kept struct {
	why     error
	since   time.Time
	written string
	run     state.Run
	serves  bool // the new version is running well
}

func (e *kept) Error() string {
	return fmt.Sprintf("%s stays: going back would lose what users wrote since %s (%s), and it cannot be taken along: %v",
		e.run.To, e.since.Local().Format(time.DateTime), e.written, e.why)
}

func (e *kept) Unwrap() error { return e.why }

// Hint is what a person types to go back all the same.
func (e *kept) Hint() string {
	hint := "journalctl -u " + e.run.Unit + " -n 50"
	if e.run.Way == "" && (e.run.CheckpointComplete || e.run.StoppedDump != "") {
		hint += "    # to roll back all the same, after a look at what would be lost: upgrade rollback --way " + WayCheckpoint + " …"
	}
	return hint
}

// plainNames are tables as people call what is in them.
var plainNames = map[string]string{"fileinfo": "files", "incomingwebhooks": "incoming webhooks", "outgoingwebhooks": "outgoing webhooks",
	"usergroups": "groups", "users": "changed accounts"} // a login changes one

func list(written map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(written)) {
		name := kind
		if plain, ok := plainNames[kind]; ok {
			name = plain
		}
		if written[kind] == 1 {
			name = strings.TrimSuffix(name, "s")
		}
		parts = append(parts, fmt.Sprintf("%d %s", written[kind], name))
	}
	if len(parts) == 0 {
		return "nothing that can be counted"
	}
	return strings.Join(parts, ", ")
}
