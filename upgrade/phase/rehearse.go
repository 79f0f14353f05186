package phase

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// Rehearse tries an upgrade beside the version that serves: the same checks, the same release, on a
// copy of the database. Nothing that people use is touched.
func Rehearse() []Phase {
	return append(lookAhead(),
		Lock{},
		Fetch{},
		TryNew{},
	)
}

// lookAhead is the beginning of Rehearse that changes nothing: what would refuse the upgrade
// refuses its rehearsal.
func lookAhead() []Phase { return append(Plan(), CheckTrial{}) }

// CheckTrial looks whether there is room for a second server.
type CheckTrial struct{}

// Title says what a person reads.
func (CheckTrial) Title() string { return "check that there is room to rehearse" }

// leastMemory is what must be available beside the server that serves: a second one takes about
// 300 MB to start, and systemd ends it before it takes more than a quarter of the memory.
const leastMemory = 700 << 20

// Run returns a problem.List.
func (CheckTrial) Run(ctx context.Context, op *Operation) error {
	var found problem.List
	if !op.Facts.Installed() {
		return problem.List{{Where: "rehearsal", Found: "nothing is installed", Allowed: "an upgrade", Hint: "upgrade apply …"}}
	}
	if _, err := findAdmin(ctx, op.Facts.Database); errors.Is(err, mattermost.ErrNoAdmin) {
		found = append(found, noAdmin(op.Facts, "no role here may make another database", "one that may, for a copy to rehearse on"))
	} else if err != nil {
		return err
	}
	if free, err := availableMemory("/proc/meminfo"); err == nil && free < leastMemory {
		found = append(found, problem.Problem{Where: "memory", Found: fmt.Sprintf("%d MB available", free>>20),
			Allowed: fmt.Sprintf("%d MB, for a second server beside the one that serves", leastMemory>>20), Hint: "ps -eo rss,args --sort=-rss | head"})
	}
	r := &room{}
	needTrial(ctx, op, r, op.Facts.Dir, 2)
	short, err := r.problems(space)
	if err != nil {
		return err
	}
	return append(found, short...).Err()
}

// availableMemory is what new programs can have without anybody being swapped out (proc_meminfo(5)).
func availableMemory(path string) (uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("%s says nothing of available memory", path)
}

// Rehearsal is what a rehearsal found.
type Rehearsal struct {
	Source     string        `json:"source"` // of the database that it was done on
	Bytes      int64         `json:"database_bytes"`
	After      int64         `json:"database_bytes_after"` // with the migrations
	Migrations int           `json:"migrations"`
	Migrating  time.Duration `json:"migrating_ns,omitempty"`    // until the last of them; 0 when there are none, or nobody can tell
	Online     bool          `json:"migrates_online,omitempty"` // they run before the stop, while the old version serves
	Copying    time.Duration `json:"copying_ns,omitempty"`      // the copy of the database that the upgrade makes at the stop
	Starting   time.Duration `json:"starting_ns,omitempty"`     // until the first good answer, migrations included
	Waited     time.Duration `json:"waited_ns,omitempty"`       // of it, while others had the processor: the upgrade has it alone
	Downtime   time.Duration `json:"downtime_ns,omitempty"`     // that the upgrade would have
	Dropped    []string      `json:"settings_dropped,omitempty"`
	Plugins    []string      `json:"plugins_failed,omitempty"`
	Errors     []string      `json:"new_errors,omitempty"`
	Asked      int           `json:"asked"` // how often the server that serves was asked meanwhile
	Failed     int           `json:"failed"`
	Slowest    time.Duration `json:"slowest_ns"` // its slowest answer
}

// TryNew tries the new version on a copy of the database, where nobody sees it.
type TryNew struct{}

// Title says what a person reads.
func (TryNew) Title() string { return "rehearse on a copy" }

// Describe says it for a plan.
func (TryNew) Describe(op *Operation) string {
	return fmt.Sprintf("%s starts on a copy of the database, in a network of its own; %s serves meanwhile", op.Choice.Next.Version, op.Facts.Version)
}

// stopping is what an upgrade needs besides the copy and the start, as visitors see it: stop, swap,
// open. Measured with people at work: 0.11 s to 0.26 s.
const stopping = 200 * time.Millisecond

// rehearseFor is how long the new version must go on to answer well.
const rehearseFor = 10 * time.Second

// Run leaves nothing behind but the unpacked release. A version that does not work is a
// problem.List: the upgrade would be put back.
func (TryNew) Run(ctx context.Context, op *Operation) (err error) {
	run, f := op.Record.Run, op.Facts
	config, err := f.Config.Bytes()
	if err != nil {
		return err
	}
	t, err := newTrial(ctx, op, run.NewTarget, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endTrial(context.WithoutCancel(ctx), op)) }()
	r := &Rehearsal{}
	op.Trial = r
	defer watchPeople(ctx, op, r)()
	defer t.db.Yield(ctx)()
	if err := t.prepare(ctx, op, r); err != nil {
		return err
	}
	began := time.Now()
	err = t.rehearse(ctx, op, r)
	t.look(context.WithoutCancel(ctx), op, r, began)
	if broken := errors.Is(err, mattermost.ErrExited) || errors.Is(err, mattermost.ErrNotReady) || errors.Is(err, errWrong); broken && ctx.Err() == nil {
		return problem.List{{Where: "Mattermost " + run.To, Found: err.Error(), Allowed: "a version that works on a copy of this server",
			Hint: "journalctl -u " + mattermost.SandboxUnit + " -n 50    # on the server"}}
	}
	return err
}

// Undo removes what a killed run left.
func (TryNew) Undo(ctx context.Context, op *Operation) error { return endTrial(ctx, op) }

// prepare fills the scratch database, and measures what copying it takes.
func (t *trial) prepare(ctx context.Context, op *Operation, r *Rehearsal) error {
	run := op.Record.Run
	var err error
	if r.Source, err = t.fillNewest(ctx, op); err != nil {
		return err
	}
	schema, err := t.db.Inspect(ctx)
	if err != nil {
		return err
	}
	r.Bytes = schema.Bytes
	if run.Plan != "" {
		if r.Online, err = migratesOnline(ctx, op); err != nil {
			return err
		}
		if r.Migrations, err = mattermost.PlannedMigrations(run.Plan); err != nil {
			return err
		}
	}
	if !run.Migrates || r.Online {
		return nil
	}
	if run.Plan != "" { // as Migrate does before the stop
		indexes, err := indexesBefore(ctx, t.db, run.Plan)
		if err != nil {
			return err
		}
		if _, err := t.db.MakeIndexes(ctx, indexes, indexWait); err != nil {
			return err
		}
	}
	other := mattermost.ScratchName(op.Facts.Database.Name, run.Started.Add(time.Second))
	// As before the stop: what was just filled is in memory only, which the copy would pay for.
	if err := t.admin.Flush(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := t.admin.ScratchOf(ctx, run.Scratch, other); err != nil {
		return err
	}
	r.Copying = time.Since(began)
	op.Record.Copied = state.Measured{Bytes: r.Bytes, Took: r.Copying, At: time.Now().UTC()}
	return t.admin.Drop(ctx, other)
}

// migratesOnline says whether the upgrade would run its migrations before the stop, as Migrate does.
func migratesOnline(ctx context.Context, op *Operation) (bool, error) {
	if op.Config.Migrations == state.MigrateOffline {
		return false, nil
	}
	found, err := hazards(ctx, op, op.Record.Run.Plan)
	return err == nil && len(found) == 0, err
}

// rehearse starts the new version and times it.
func (t *trial) rehearse(ctx context.Context, op *Operation, r *Rehearsal) error {
	run := op.Record.Run
	limit := readyTimeout
	if run.Migrates {
		limit = patience(op)
	}
	stable := rehearseFor
	if op.Watch > 0 {
		stable = op.Watch
	}
	migrated := t.whenMigrated(ctx, run.SchemaTarget)
	took, err := t.start(ctx, op, run.To, limit, stable)
	r.Starting = took
	if at := migrated(); at.After(t.began) {
		r.Migrating = at.Sub(t.began)
	}
	if err != nil {
		return err
	}
	r.Waited = min(t.waited, r.Starting/2)
	r.Downtime = stopping + r.Copying + r.Starting - r.Waited
	if r.Online { // then they are over before the stop
		r.Downtime -= r.Migrating
	}
	schema, err := t.db.Inspect(ctx)
	if err != nil {
		return err
	}
	r.After = schema.Bytes
	if schema.Last < run.SchemaTarget {
		return fmt.Errorf("%w: it left the database at migration %d, and its plan goes to %d", errWrong, schema.Last, run.SchemaTarget)
	}
	return t.comparePlugins(ctx, op, r)
}

// comparePlugins wants every plugin that runs in the server that serves to run in the new one.
func (t *trial) comparePlugins(ctx context.Context, op *Operation, r *Rehearsal) error {
	before, err := op.Facts.Service().RunningPlugins(ctx, op.Facts.PluginDir())
	if err != nil {
		return err
	}
	after, err := t.sandbox.Service().RunningPlugins(ctx, t.sandbox.PluginDir())
	if err != nil {
		return err
	}
	for _, id := range before {
		if !slices.Contains(after, id) {
			r.Plugins = append(r.Plugins, id)
		}
	}
	if len(r.Plugins) > 0 {
		return fmt.Errorf("%w: plugins that run now do not run in it: %s", errWrong, strings.Join(r.Plugins, ", "))
	}
	return nil
}

// whenMigrated looks at the scratch database until it is at migration last; the function it returns
// ends that, and says when it was, or the zero time.
func (t *trial) whenMigrated(ctx context.Context, last int) func() time.Time {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan time.Time, 1)
	go func() {
		for last > 0 {
			select {
			case <-ctx.Done():
				done <- time.Time{}
				return
			case <-time.After(100 * time.Millisecond):
			}
			if now, err := t.db.AppliedMigrations(ctx); err == nil && mattermost.LastMigration(now) >= last {
				done <- time.Now()
				return
			}
		}
		done <- time.Time{}
	}()
	return func() time.Time { cancel(); return <-done }
}

// look collects what a person should know of the server that was tried.
func (t *trial) look(ctx context.Context, op *Operation, r *Rehearsal, began time.Time) {
	complaints, err := t.sandbox.Service().ComplaintsUnlike(ctx, op.Facts.Service(), began)
	if err != nil {
		op.Warn("read the log: %v", err)
	}
	for _, c := range complaints {
		r.Errors = append(r.Errors, c.Message)
	}
	before, err := mattermost.ConfigKeys(t.sandbox.Config)
	if err != nil {
		op.Warn("compare the settings: %v", err)
		return
	}
	data, err := mattermost.ReadConfig(op.Facts.Unit.User, t.sandbox.ConfigPath())
	if err != nil {
		return // it never came so far
	}
	after, err := mattermost.ConfigKeys(data)
	if err != nil {
		return // it was ended while it wrote
	}
	for _, key := range before {
		if _, kept := slices.BinarySearch(after, key); !kept {
			r.Dropped = append(r.Dropped, key)
		}
	}
}

// watchPeople asks the server that serves, twice a second, until the function it returns is called.
func watchPeople(ctx context.Context, op *Operation, r *Rehearsal) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h := op.Facts.Health
		for {
			began := time.Now()
			_, err := h.Ping(ctx)
			if ctx.Err() != nil {
				return
			}
			r.Asked++
			r.Slowest = max(r.Slowest, time.Since(began))
			if err != nil {
				r.Failed++
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	}()
	return func() { cancel(); <-done }
}
