package phase

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// readyTimeout is how long a version without migrations may take to be ready: it takes half a
// second, and longer where it has plugins to unpack. idleTimeout is how long it may do nothing that
// can be seen, neither in its database nor by the processor's time: the old version is back within
// the 30 s for which the proxy holds requests. A migration may wait longer than that, for a lock.
const (
	readyTimeout  = 3 * time.Minute
	idleTimeout   = 25 * time.Second
	idleMigrating = 30 * time.Second
)

// Start starts the new version and waits for systemd to call it ready.
type Start struct{}

// Title says what a person reads.
func (Start) Title() string { return "start the new version" }

// Describe says it for a plan.
func (Start) Describe(op *Operation) string {
	return "and wait while it migrates the database, at most " + printable.Duration(patience(op))
}

func patience(op *Operation) time.Duration {
	if op.Config.Patience > 0 {
		return op.Config.Patience
	}
	return state.DefaultPatience
}

// Limit is beyond the patience with the new version: whether that is over is for WaitReady to say.
func (Start) Limit(op *Operation) time.Duration { return max(readyTimeout, patience(op)) + time.Minute }

// Run fails at once when the program exits.
func (Start) Run(ctx context.Context, op *Operation) error {
	run, db := op.Record.Run, op.Facts.Database
	s := service(run)
	if err := op.Save(); err != nil {
		return err
	}
	done := s.Launch(ctx)
	work := db.Watch()
	defer work.Close(context.WithoutCancel(ctx))
	p := mattermost.Patience{Limit: readyTimeout, Idle: idleTimeout, Busy: work.Busy, Done: done}
	if run.Migrates {
		p.Limit, p.Idle = patience(op), idleMigrating
	}
	st, err := s.WaitReady(ctx, p)
	op.started = st.PID
	return blame(ctx, op, err)
}

// blame calls err the new version's fault when it is: it exited or hung though its database, asked
// by us, answers, and its disks have room.
func blame(ctx context.Context, op *Operation, err error) error {
	broken := errors.Is(err, mattermost.ErrExited) || errors.Is(err, mattermost.ErrNotReady) || errors.Is(err, errWrong)
	if run := op.Record.Run; !broken || ctx.Err() != nil || run.Way != "" || run.Backup != "" { // the version that is gone back to worked before
		return err
	}
	if _, e := op.Facts.Database.AppliedMigrations(ctx); e != nil {
		return errors.Join(err, e)
	}
	if dir := full(space, disks(ctx, op)...); dir != "" {
		return fmt.Errorf("%w; the disk of %s is full", err, dir)
	}
	// It may have room again, or be the database's on a host that we do not see.
	if strings.Contains(err.Error(), "o space left on device") {
		return fmt.Errorf("%w; a disk was full", err)
	}
	return &BadVersion{Version: op.Record.Run.To, Cause: err}
}

// disks are the places that the server needs, on this host.
func disks(ctx context.Context, op *Operation) []string {
	run, db := op.Record.Run, op.Facts.Database
	dirs := []string{filepath.Dir(run.ConfigPath), run.NewTarget, state.Dir}
	if !db.Local() {
		return dirs
	}
	if admin, err := findAdmin(ctx, db); err == nil {
		if dir := admin.DataDirectory(ctx); dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// full is the first of the directories whose disk has no room left; empty where all have some.
func full(space func(string) (free, inodes uint64, id any, err error), dirs ...string) string {
	const little = 1 << 20
	for _, dir := range dirs {
		if free, inodes, _, err := space(dir); err == nil && (free < little || inodes == 0) {
			return dir
		}
	}
	return ""
}

// Undo kills whatever runs, as a young server would sleep 15 s before it stops and nothing that it
// has is worth waiting for, and makes the database fit the old version again.
func (Start) Undo(ctx context.Context, op *Operation) error {
	if !op.Record.Run.Stopped {
		return nil
	}
	return settle(ctx, op)
}
