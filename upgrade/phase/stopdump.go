package phase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// guessedDump is what a dump with its verification does in a second where none was measured yet:
// 948 MB took 2 s to dump and 6 s to read back, on two cores.
const guessedDump = 100 << 20

// guessedCopy is what a copy of the database's files does in a second where none was measured yet:
// 948 MB took 1.05 s on a fast disk, and many are slower.
const guessedCopy = 500 << 20

// stopCost says how much longer the service is away when the database, of so many bytes without its
// indexes, is dumped at the stop, and how that is known.
func stopCost(record *state.State, heap int64) (time.Duration, string) {
	took, how := foretell(heap, record.Dumped, guessedDump)
	return max(took.Round(time.Second), time.Second), how
}

// copyCost is stopCost of the copy of a database's files, of so many bytes.
func copyCost(record *state.State, bytes int64) (time.Duration, string) {
	took, how := foretell(bytes, record.Copied, guessedCopy)
	return max(took.Round(100*time.Millisecond), 100*time.Millisecond), how
}

// telling is how large a database must have been for its time to say how fast larger ones go: that of
// a smaller one is mostly what any takes.
const telling = 64 << 20

// foretell says how long so many bytes will take by how long others took, or by a guess at what is
// done in a second.
func foretell(bytes int64, m state.Measured, guess int64) (time.Duration, string) {
	if m.Took > 0 && m.Bytes < min(bytes, telling) {
		took := m.Took + time.Duration(float64(bytes-m.Bytes)/float64(guess)*float64(time.Second))
		return took, fmt.Sprintf("%d MB took %s on %s; of the other %d MB it is a guess",
			m.Bytes>>20, printable.Duration(m.Took.Round(100*time.Millisecond)), m.At.Format(time.DateOnly), (bytes-m.Bytes)>>20)
	}
	speed, how := guess, "a guess: none was measured here yet"
	if m.Took > 0 && m.Bytes > 0 {
		speed = max(1, int64(float64(m.Bytes)/m.Took.Seconds()))
		how = "measured on " + m.At.Format(time.DateOnly)
	}
	took := time.Duration(float64(bytes) / float64(speed) * float64(time.Second))
	return took, fmt.Sprintf("%d MB at %d MB a second, %s", bytes>>20, max(1, speed>>20), how)
}

// dump makes a verified dump at path, and measures it for the next plan.
func dump(ctx context.Context, op *Operation, path string) (rows int64, err error) {
	f := op.Facts
	tools, err := mattermost.FindTools(ctx, host.Run, f.Schema.Server)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if rows, err = f.Database.Dump(ctx, tools, path, func(n int64) { op.Progress(n, 0, "bytes") }); err != nil {
		return 0, err
	}
	op.Record.Dumped = state.Measured{Bytes: f.Schema.Heap, Took: time.Since(began), At: time.Now().UTC()}
	return rows, op.Save()
}

// dumpInstead keeps the database where no copy of it can be made: by a second dump, which has what
// was written since the first.
func dumpInstead(ctx context.Context, op *Operation, why string) error {
	run, f := op.Record.Run, op.Facts
	if f.Schema.Empty() {
		return op.Save()
	}
	cost, how := stopCost(op.Record, f.Schema.Heap)
	op.Warn("%s: it is dumped instead, which adds about %s of downtime (%s)", why, printable.Duration(cost), how)
	run.Checkpoint, run.StoppedDump = "", filepath.Join(dumpDir(), run.ID+"-stopped.dump")
	if err := op.Save(); err != nil {
		return err
	}
	_, err := dump(ctx, op, run.StoppedDump)
	return err
}

// uncopyable reports whether an error of a copy is of a database that PostgreSQL does not copy here, and
// that can be dumped all the same.
func uncopyable(err error) bool {
	return errors.Is(err, mattermost.ErrNoRoom) || errors.Is(err, mattermost.ErrInUse) || errors.Is(err, mattermost.ErrNoCopy)
}

// stoppedDump is the dump made at the stop, once it is whole; else empty.
func stoppedDump(run *state.Run) string {
	if run.StoppedDump == "" {
		return ""
	}
	if _, err := os.Stat(run.StoppedDump); err != nil {
		return ""
	}
	return run.StoppedDump
}

// noCopy says why the database cannot be copied at the stop; empty when it can. The admin makes the
// copy.
func noCopy(ctx context.Context, op *Operation) (admin *mattermost.Admin, why string, err error) {
	f := op.Facts
	admin, err = findAdmin(ctx, f.Database)
	if errors.Is(err, mattermost.ErrNoAdmin) {
		return nil, "no role here may copy the database", nil
	}
	if err != nil || !f.Database.Local() {
		return admin, "", err
	}
	dir := admin.DataDirectory(ctx)
	if dir == "" {
		return admin, "", nil
	}
	r := &room{}
	r.need(dir, copyBytes(f.Schema), 0, "a copy of the database")
	short, err := r.problems(space)
	if err == nil && len(short) > 0 {
		why = fmt.Sprintf("there is no room for a copy of the database (%s, %s needed)", short[0].Found, short[0].Allowed)
	}
	return admin, why, err
}

// copyBytes is what a copy needs, with room for the migrations to work in.
func copyBytes(s mattermost.Schema) uint64 { return uint64(s.Bytes) + uint64(s.Bytes)/10 + spareBytes }
