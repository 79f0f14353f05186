// Package phase runs an operation: one literal list of phases, forward in order, undone in
// reverse. What a phase needs from outside is in Operation, filled once by the command that starts
// it; what undo needs is in the host's record alone, because after a power cut that is all there is.
package phase

import (
	"context"
	"slices"
	"time"
)

// Phase is one step. Facts and checks come before the first mutation.
type Phase interface {
	// ID is the step in records and logs: one word that is unique in its operation and never changes.
	ID() string
	// Title is what a person reads while the step runs, such as "stop the service".
	Title() string
	// Run does the step. It saves what it is about to change in the record (Operation.Save) before
	// it changes it. Done ends the operation early, as a success.
	Run(ctx context.Context, op *Operation) error
}

// indexOf finds a phase by its ID; -1 where none has it.
func indexOf(phases []Phase, id string) int {
	return slices.IndexFunc(phases, func(p Phase) bool { return p.ID() == id })
}

// Undoer is a phase that changes something. Undo puts it back from the record alone, may be called
// twice, after a Run that failed half way, and after one that never began; then it does nothing.
type Undoer interface {
	Phase
	Undo(ctx context.Context, op *Operation) error
}

// Finisher is a phase that has something left to do once the run is committed. Finish needs the record
// alone, and may be called twice.
type Finisher interface {
	Phase
	Finish(ctx context.Context, op *Operation) error
}

// Event is one thing that happened; a run's log is one JSON line an event.
type Event struct {
	Time  time.Time     `json:"time"`
	Run   string        `json:"run"`
	Kind  Kind          `json:"kind"`
	Step  string        `json:"step,omitempty"`  // the phase's ID
	Phase string        `json:"phase,omitempty"` // and its title
	Text  string        `json:"text,omitempty" printable:"lines"`
	Done  int64         `json:"done,omitempty"`  // of Total, in Unit
	Total int64         `json:"total,omitempty"` // 0 when unknown
	Unit  string        `json:"unit,omitempty"`  // "bytes" or what is counted
	Took  time.Duration `json:"took_ns,omitempty"`
	Peak  int64         `json:"peak_bytes,omitempty"`         // the most memory that this program held in the phase that ended
	Data  any           `json:"data,omitempty" printable:"-"` // of a result: the report
}

// Kind is what an event tells.
type Kind string

// The kinds of events. DownStart and DownEnd bound the downtime.
const (
	Begin     Kind = "begin"   // a phase begins
	End       Kind = "end"     // a phase ended well; Took is set
	Failed    Kind = "failed"  // a phase failed; Text says why
	Undoing   Kind = "undoing" // a phase is being put back
	Undone    Kind = "undone"
	Progress  Kind = "progress" // Done of Total
	Note      Kind = "note"     // something a person should know
	Warn      Kind = "warn"
	DownStart Kind = "down-start"
	DownEnd   Kind = "down-end"
	Blocked   Kind = "blocked" // someone else is in the way, and is waited for
	Leaving   Kind = "leaving" // the host restarts; the run goes on when it is up again
	Result    Kind = "result"  // the last event of a run; Data holds the report
)
