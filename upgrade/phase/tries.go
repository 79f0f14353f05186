package phase

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
)

// undoTries is how often in one boot the host tries to undo a run without an operator. The pauses
// between them (Pause) add up to ten minutes.
const undoTries = 8

// Pause is how long the host waits before its next attempt to undo run: a disk that is full, or a
// server that others use, may need a while.
func Pause(run *state.Run) time.Duration {
	if _, boot := host.Process(); run.TriedIn != boot || run.Tries == 0 || run.Tries >= undoTries {
		return 0
	}
	return min(5*time.Second<<(run.Tries-1), 5*time.Minute)
}

// try counts an attempt to undo the run, before it begins: one may also end with its process. When they
// are used up the error says so. An operator may always try.
func (op *Operation) try(ctx context.Context) error {
	run := op.Record.Run
	if _, boot := host.Process(); run.TriedIn != boot {
		run.TriedIn, run.Tries = boot, 0
	}
	if op.Automatic && run.Tries >= undoTries {
		return giveIn(ctx, op, errors.New("the last attempt was ended from outside"))
	}
	run.Tries++
	_ = op.Save() // a full disk must not stop an attempt
	return nil
}

// tried is what an attempt ended with. An ErrAgain is one no more when the attempts are used up, unless
// it heals without an operator.
func (op *Operation) tried(ctx context.Context, err error) error {
	run := op.Record.Run
	switch {
	case !errors.Is(err, ErrAgain):
		return err
	case errors.Is(err, ErrUnreachable):
		run.Tries = 0
		_ = op.Save() // it counts one attempt too many then
		return err
	case run.Tries < undoTries:
		return err
	}
	return giveIn(ctx, op, err)
}

// giveIn leaves the run to an operator. The service stays stopped where it is stopped, as no version is
// known to fit the database: at a boot systemd would start one of them behind us.
func giveIn(ctx context.Context, op *Operation, why error) error {
	run := op.Record.Run
	run.Again = false
	err := errors.Join(&exhausted{why: why, run: *run}, op.Save())
	if !run.Stopped {
		return err
	}
	ctx, cancel := op.within(context.WithoutCancel(ctx), stopTimeout, "stop the service")
	defer cancel()
	defer op.due.Store(nil)
	return errors.Join(err, gate(run).Close(ctx), service(run).Kill(ctx))
}

// exhausted is the end of the host's own attempts. It is not an ErrAgain.
type exhausted struct {
	why error
	run state.Run
}

func (e *exhausted) Error() string {
	text := fmt.Sprintf("%s; after %d attempts the server does not try again, and Mattermost stays stopped",
		strings.ReplaceAll(e.why.Error(), "; "+ErrAgain.Error(), ""), e.run.Tries)
	if !e.run.Stopped {
		text = strings.TrimSuffix(text, ", and Mattermost stays stopped")
	}
	switch {
	case e.run.CheckpointComplete:
		text += "; the database as it was at the stop is in the database " + e.run.Checkpoint
	case stoppedDump(&e.run) != "":
		text += "; the database as it was at the stop is in " + e.run.StoppedDump
	}
	return text
}
