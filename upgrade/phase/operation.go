package phase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

// Done, returned by a phase, ends the operation there as a success: there is nothing (more) to do.
var Done = errors.New("nothing to do") //nolint:staticcheck // a signal such as io.EOF, not a failure

// ErrLeft says that the host goes down and that its next boot puts everything back.
var ErrLeft = errors.New("the host is shutting down; everything is put back when it comes up again")

// ErrRebooting says that the host restarts because the run asked for it, and that the run goes on then.
var ErrRebooting = errors.New("the host restarts, and the run goes on when it is up again")

// ErrInterrupted is the cause of a context that a person or systemd ended.
var ErrInterrupted = errors.New("interrupted")

// Options are what a person asked of an operation. They travel from the operator's side to the
// command line of the run's unit, which every user of the host can read: no secrets.
type Options struct {
	To    string        `json:"to,omitempty"`       // the version asked for; empty: what the policy chooses
	Retry bool          `json:"retry,omitempty"`    // versions on the skip list may be chosen again
	Watch time.Duration `json:"watch_ns,omitempty"` // how long to look at the new version; 0: as configured
	Way   string        `json:"way,omitempty"`      // of a rollback: how the database goes back

	Snapshot string `json:"snapshot,omitempty"` // of restore: a backup's id; empty or "latest": the newest
	Replace  bool   `json:"replace,omitempty"`  // of restore: in place of what is there

	Unattended bool     `json:"unattended,omitempty"` // nobody is there: keep to the host's calendar, and to steps that need nobody
	ByItself   bool     `json:"by_itself,omitempty"`  // of a check: what an unattended run would do on some day, and apart from it what waits for a person
	Named      []string `json:"named,omitempty"`      // versions that a release notice names, to be looked up

	SecurityOnly bool `json:"security_only,omitempty"` // of the operating system's packages
	Reboot       bool `json:"reboot,omitempty"`        // if one is needed, also outside the window

	RemoveKeys bool   `json:"remove_keys,omitempty"` // of a repair: SSH keys that the stack does not know
	KeepKey    string `json:"keep_key,omitempty"`    // except the one with this fingerprint, which the operator connects with
	Changed    bool   `json:"changed,omitempty"`     // of a repair: only what the stack has changed, and file systems that are too small
}

// Operation is all that phases share. The first part is filled by the command, before Run; the
// second by the phases as they learn it. Undo may use the first part and Record.Run only.
type Operation struct {
	ID   string // of the run, such as "20261122T013000Z-apply"
	Name string // of Operations, such as "apply"

	// Operations are all that can have been left unfinished on this host, by name.
	Operations map[string]Sequence

	Record *state.State // the host's record; Acquire reads it again once the lock is held
	Save   func() error // writes Record to the disk, atomically and fsynced; before each mutation
	Config state.Config // the host's /etc/townsquare/upgrade.yaml, with the URL that is in use
	URL    string       // the one that the stack says; a repair brings it into use
	Options
	Releases *release.Client
	Arch     string      // "amd64", "arm64"
	Emit     func(Event) // Run fills in Time, Run and Phase

	// Conceal takes the secrets out of what the record keeps; nil keeps it as it is.
	Conceal func(string) string

	// Lock takes the host's lock until release is called; lost is called once when someone else has
	// taken it. Acquire uses it; a test puts its own here.
	Lock func(ctx context.Context, why string, lost func(error)) (release func() error, err error)
	// Reload reads the record again, after the lock was taken. Nil keeps Record as it is.
	Reload func() (*state.State, error)

	// Guard makes sure that a host which loses power puts the run back by itself when it comes up
	// again. Acquire calls it, so that it stands before the first mutation.
	Guard func(ctx context.Context, run *state.Run) error
	// Boot says that this is that boot: the service is started behind us, so that nobody may wait
	// for it (systemd makes it wait for us) until Ready is called.
	Boot bool
	// Automatic is set where no operator asked for this recovery: its attempts are counted.
	Automatic bool
	// Ready lets systemd start what waits for us at a boot. Repair calls it once everything is back
	// where it was, or cannot be.
	Ready func()
	// Leave tells whether the host is going down. Nothing is put back then: no service can be started
	// any more, and the recovery at the next boot does it. Nil means it is not.
	Leave func() bool
	// Timers makes the host's timers what the configuration says, and tells which it changed and
	// whether they are on. Nil leaves them alone.
	Timers func(context.Context, state.Config) (changed []string, on bool, err error)
	// Pending remembers what waits on this host and returns what is known of it. Nil means it is not
	// remembered.
	Pending func(schedule.Kind, state.Pending) (state.Pending, error)
	// Notices are warnings from before the run.
	Notices []string

	Ways   []Way                    // by ways, of a rollback
	Trial  *Rehearsal               // by rehearsal
	Facts  *mattermost.Installation // by facts; nil when nothing is installed yet
	proxy  proxy                    // by facts
	Choice release.Choice           // by choose
	OS     *OSFacts                 // by OSLook
	System system.System            // tests have their own
	Backup *BackupReport            // by the phases that make, prove or bring back a backup

	Desired *state.Desired    // by compare, unless it is given
	Drift   *drift.Comparison // by compare
	Restore *Restoring        // by findBackup

	found    []drift.Difference // before a repair
	repaired []string           // of them
	unlisted []string           // of Named, by choose: what the vendor's pages do not list
	started  int                // by start: the process of the new version; 0 when it had none
	dumps    string             // by preflight: why the database is kept by a dump at the stop; empty: by a copy

	proc    mattermost.Proc           // a test has its own
	mended  bool                      // the run to undo was repaired by an operator: the copies of the database stay
	restore *backup.Snapshot          // by findBackup
	cancel  context.CancelCauseFunc   // of the run's context; set by Run
	release func() error              // of the lock; called by Run when all is over
	current Phase                     // that runs; nil between them
	due     atomic.Pointer[time.Time] // when Stuck begins to hold; nil: never
}

// Describer is a phase that can say, in a plan, what it would do on this host: one line, after
// facts, choose and preflight have run.
type Describer interface {
	Phase
	Describe(op *Operation) string
}

// Acquire takes the host's lock for the rest of the run and opens the run in the record, which it
// saves. The lock phase calls it; everything that changes the host comes after it. A loss of the
// lock ends the run's context, with the loss as its cause. Before that, run facts and choose.
func (op *Operation) Acquire(ctx context.Context, begin state.Run) error {
	why := op.Name
	if begin.To != "" && begin.To != begin.From { // a backup goes nowhere
		why = fmt.Sprintf("%s to %s", op.Name, begin.To)
	}
	free, err := op.Lock(ctx, why, func(err error) { op.cancel(err) })
	if err != nil {
		return err
	}
	op.release = free
	if op.Reload != nil {
		record, err := op.Reload()
		if err != nil {
			return err
		}
		op.Record = record
	}
	if left := op.Record.Run; left != nil {
		return fmt.Errorf("run %s was left unfinished; it must be put back first", left.ID)
	}
	begin.ID, begin.Operation = op.ID, op.Name
	begin.Started, begin.Step = time.Now().UTC(), op.current.ID()
	begin.PID, begin.BootID = host.Process()
	if op.Facts != nil && op.Facts.Unit != nil {
		begin.User = op.Facts.Unit.User
	}
	begin.Ticks = host.Ticks()
	options, err := json.Marshal(op.Options)
	if err != nil {
		return err
	}
	begin.Options = string(options)
	op.Record.Run = &begin
	if err := op.Save(); err != nil || op.Guard == nil {
		return err
	}
	return op.Guard(ctx, op.Record.Run)
}

func (op *Operation) conceal(s string) string {
	if op.Conceal == nil {
		return s
	}
	return op.Conceal(s)
}

// Note tells a person something that they should know.
func (op *Operation) Note(format string, args ...any) {
	op.Emit(Event{Kind: Note, Text: fmt.Sprintf(format, args...)})
}

// Warn tells a person something that they should look after.
func (op *Operation) Warn(format string, args ...any) {
	op.Emit(Event{Kind: Warn, Text: fmt.Sprintf(format, args...)})
}

// Progress reports done of total, in unit ("bytes", or what is counted), as often as the phase
// likes: Run thins it out. A total of 0 is unknown.
func (op *Operation) Progress(done, total int64, unit string) {
	op.Emit(Event{Kind: Progress, Done: done, Total: total, Unit: unit})
}

// Down starts the downtime clock; Up stops it. Called by stop and open (and by undo, when the old
// version serves again). A second call in a row changes nothing, and nobody misses what was never
// there: a first installation has no downtime.
func (op *Operation) Down() {
	if run := op.Record.Run; run != nil && run.From == "" {
		return
	}
	op.Emit(Event{Kind: DownStart})
}

// Up stops the downtime clock.
func (op *Operation) Up() { op.Emit(Event{Kind: DownEnd}) }
