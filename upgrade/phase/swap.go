package phase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"townsquare/upgrade/mattermost"
)

// Swap makes the install path lead to the new version.
type Swap struct{}

// Title says what a person reads.
func (Swap) Title() string { return "swap the versions" }

// Describe says it for a plan.
func (Swap) Describe(op *Operation) string {
	f := op.Facts
	text := fmt.Sprintf("%s leads to %s", f.Link, mattermost.VersionDir(f.Link, op.Choice.Next.Dir()))
	if f.Plain {
		text += ", and the former directory is kept, with everything that was added or changed inside " + mattermost.ShippedDirectories()
	}
	if custom := f.Custom(); len(custom) > 0 {
		text += "; carried over, as no release ships it: " + strings.Join(custom, ", ")
	}
	return text
}

// quick bounds what takes milliseconds on a disk that works.
const quick = 30 * time.Second

// Limit says how long it may take.
func (Swap) Limit(*Operation) time.Duration { return quick }

// Run needs nothing new in the record, but where it is: all of the rest is there since Lock.
func (Swap) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if err := op.Save(); err != nil {
		return err
	}
	for _, m := range run.Moves {
		err := mattermost.Move(m.From, m.To)
		if err != nil && below(m.From, filepath.Join(op.Facts.Dir, "client")) { // the service's user may have exchanged it since the checks
			op.Warn("%v; it stays in %s and is not carried over", err, op.Facts.Dir)
		} else if err != nil {
			return err
		}
	}
	if custom := op.Facts.Custom(); len(custom) > 0 {
		op.Note("carried over, as no release ships it: %s", strings.Join(custom, ", "))
	}
	if run.AdoptedFrom != "" {
		return mattermost.Adopt(run.Link, run.AdoptedFrom, run.NewTarget)
	}
	if run.OldTarget == "" {
		// An empty directory may stand where the first installation goes; a full one is no
		// installation and was refused.
		if info, err := os.Lstat(run.Link); err == nil && info.IsDir() {
			if err := os.Remove(run.Link); err != nil {
				return err
			}
		}
	}
	return mattermost.Point(run.Link, run.NewTarget)
}

// Undo restores the configuration, makes the path lead to the old version, and moves back what was moved
// out of an adopted directory. Where the path leads to the old version already, the configuration was
// never changed, is restored, or was repaired by an operator, and stays as it is.
func (Swap) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped {
		return nil
	}
	var err error
	if run.Way == "" && run.Backup == "" && !leadsToOld(run) {
		if err := restoreConfig(op); err != nil {
			return err
		}
		run.Unswitching = true
		_ = op.Save() // a full disk must not stop an undo
	}
	switch {
	case run.AdoptedFrom != "":
		err = mattermost.Unadopt(run.Link, run.AdoptedFrom)
	case run.OldTarget != "":
		err = mattermost.Point(run.Link, run.OldTarget)
	default:
		err = mattermost.Unpoint(run.Link)
	}
	if err != nil {
		return err
	}
	var failed []error
	for i := len(run.Moves) - 1; i >= 0; i-- {
		failed = append(failed, mattermost.MoveBack(run.Moves[i].From, run.Moves[i].To))
	}
	return errors.Join(failed...)
}
