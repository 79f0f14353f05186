package phase

import (
	"context"
	"time"
)

// Open lets the users in: the downtime is over.
type Open struct{}

// Title says what a person reads.
func (Open) Title() string { return "open to users" }

// Describe says it for a plan.
func (Open) Describe(op *Operation) string { return "requests reach the new version" }

// Limit says how long it may take.
func (Open) Limit(*Operation) time.Duration { return quick }

// Run records the moment first: from then on the checkpoint may lack what users wrote.
func (Open) Run(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	run.OpenedAt = time.Now().UTC()
	if err := op.Save(); err != nil {
		run.OpenedAt = time.Time{} // nobody was let in, and going back needs no room on the disk
		return err
	}
	if err := gate(run).Open(ctx); err != nil {
		return err
	}
	op.Up()
	return nil
}

// Undo lets nobody else in, so that users wait instead of meeting the change.
func (Open) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped || run.OpenedAt.IsZero() {
		return nil
	}
	op.Down()
	if err := gate(run).Close(ctx); err != nil {
		op.Warn("users meet errors while things are put back: %v", err)
	}
	return nil
}
