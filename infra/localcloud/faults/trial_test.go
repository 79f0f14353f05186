//go:build machine

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/stage"
)

// Limits of a case, beside stage.Patience for the run, and for a service that is whole again without
// anybody's help.
const (
	writerPatience = 30 * time.Second // what a user's program waits for an answer
	attempts       = 3                // a fault that came too late for its phase is tried again
)

// trial is one case being played.
type trial struct {
	*testing.T
	c        kase
	s        *stage.Server
	operator *stage.Process
	writer   *community.Writer
	before   int    // how many runs there were
	kept     int    // how many of the first files a power cut cannot have taken, as they are old enough …
	unsynced int    // … and how many more had been acknowledged when it came
	watched  string // root's files before an attack
	row      row
}

// errLate is a fault that did not hit the phase that it is for.
var errLate = errors.New("the fault came too late for its phase")

// try plays a case until its fault hits the phase.
func try(t *testing.T, number int, c kase) {
	home := <-play.stages
	defer func() { play.stages <- home }()
	began := time.Now()
	tr := &trial{T: t, c: c}
	tr.row = row{number: number, name: c.name, failed: true}
	defer func() {
		tr.row.took = time.Since(began)
		tr.row.failed = t.Failed()
		play.report.add(tr.row)
	}()
	for left := attempts; ; left-- {
		if c.before() == stage.Before {
			tr.s = home.Fresh(t)
		} else {
			tr.s = home.Upgraded(t)
		}
		tr.s.Directly()
		err := tr.play()
		if err == nil {
			return
		}
		if !errors.Is(err, errLate) && !errors.Is(err, stage.ErrMissed) || left == 1 {
			t.Fatal(err)
		}
		t.Logf("once more: %v", err)
		tr.c.at.Delay /= 2
	}
}

func (tr *trial) play() error {
	ctx, cancel := context.WithTimeout(tr.Context(), stage.Patience)
	defer cancel()
	if tr.c.prepare != nil {
		tr.c.prepare(tr)
	}
	tr.kept, tr.unsynced = 0, 0
	tr.before = len(strings.Fields(tr.s.Exec(tr.T, "ls /var/lib/townsquare/runs/*-apply.jsonl")))
	visitor, err := stage.Visitor(tr.s.Cloud, writerPatience)
	if err != nil {
		return err
	}
	person := &community.Client{URL: tr.s.URL, HTTP: visitor}
	person.Resume(tr.s.People.Admin, tr.s.People.Token)
	tr.writer = person.Write(tr.Context(), tr.s.People.Channels[0].ID)
	defer tr.writer.End()

	if err := tr.run(ctx); err != nil {
		return err
	}
	tr.settle()
	if err := tr.proof(); err != nil {
		return err
	}
	tr.row.outage = tr.writer.SoFar().Gap
	tr.tidy()
	if tr.c.heal != nil {
		tr.c.heal(tr)
	}
	tr.next()
	ledger := tr.writer.End()
	ledger.Files = slices.Delete(ledger.Files, tr.kept, tr.kept+tr.unsynced)
	lost := ledger.Lost(tr.Context(), tr.s.Admin())
	tr.row.posts, tr.row.files, tr.row.lost = len(ledger.Posts), len(ledger.Files), len(lost)
	if len(lost) > 0 {
		tr.Errorf("acknowledged, and gone: %v", errors.Join(lost...))
	}
	if len(ledger.Posts) == 0 {
		tr.Error("nobody could write anything")
	}
	return nil
}

// run types `upgrade apply` and does what the case does to it.
func (tr *trial) run(ctx context.Context) error {
	over, struck := make(chan struct{}), make(chan error, 1)
	ready := make(chan struct{})
	if tr.c.strike != nil {
		go func() {
			struck <- tr.s.Strike(ctx, tr.c.at, over, func(pid int) error {
				<-ready
				tr.row.hit = tr.inPhase()
				return tr.c.strike(tr, pid)
			})
		}()
	} else {
		struck <- nil
	}
	tr.operator = tr.s.StartUpgrade(ctx, "apply", "--json", "--yes", "--watch", tr.c.watched(), "--to", tr.c.target())
	close(ready)
	r := tr.operator.Wait()
	tr.row.code = r.Code
	if r.Code > 0 && tr.c.strike != nil && !tr.operator.Killed() {
		tr.Logf("the operator saw: %s", strings.TrimSpace(r.Stderr))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the run did not end within %v:\n%s", stage.Patience, r)
	}
	close(over)
	if err := <-struck; err != nil {
		return fmt.Errorf("%w\n%s", err, r)
	}
	if len(tr.c.codes) > 0 && !slices.Contains(tr.c.codes, r.Code) {
		tr.Errorf("want exit code %v:\n%s", tr.c.codes, r)
	}
	return nil
}

// settle waits until the service is whole again. Nobody helps, but for the hand that switches the
// machine on.
func (tr *trial) settle() {
	tr.Helper()
	deadline := time.Now().Add(stage.Patience)
	var err error
	for time.Now().Before(deadline) {
		if err = tr.settled(); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		tr.Fatalf("not whole again after %v: %v", stage.Patience, err)
	}
	if tr.row.ended, err = tr.s.Client().Version(tr.Context()); err != nil {
		tr.Fatal(err)
	}
	if tr.c.ends != "" && tr.row.ended != tr.c.ends {
		tr.Errorf("%s serves, want %s", tr.row.ended, tr.c.ends)
	}
	// It must be able to write, too.
	before := len(tr.writer.SoFar().Posts)
	for len(tr.writer.SoFar().Posts) < before+2 {
		if time.Now().After(deadline) {
			tr.Fatal("it answers, and nobody can write")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// settled says what is missing until the host is at rest and serves.
func (tr *trial) settled() error {
	ctx, cancel := context.WithTimeout(tr.Context(), time.Minute)
	defer cancel()
	out, err := tr.s.Machine.Exec(ctx, "bash", "-c", "systemctl is-active townsquare-upgrade.service townsquare-recover.service")
	if busy := strings.Fields(out); slices.Contains(busy, "active") || slices.Contains(busy, "activating") || slices.Contains(busy, "deactivating") {
		return fmt.Errorf("the run, or its recovery, is at work: %s", strings.Join(busy, ", "))
	}
	if out == "" {
		return fmt.Errorf("ask the host: %w", err)
	}
	text, err := tr.s.Machine.Exec(ctx, "cat", "/var/lib/townsquare/state.json")
	if err != nil {
		return err
	}
	var record stage.Record
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		return err
	}
	if record.Run != nil {
		return fmt.Errorf("the record has an unfinished run: %v", record.Run["id"])
	}
	_, err = tr.s.Client().Version(ctx)
	return err
}

// event is one line of a run's log.
type event struct {
	Time             time.Time
	Kind, Step, Text string
}

// runs is where the logs are, on the host.
const runs = "/var/lib/townsquare/runs"

// soFar reads the log of the run in progress. Nothing is run on the host for it: at the moment of a
// fault it is to do nothing.
func (tr *trial) soFar() ([]event, error) {
	logs, err := filepath.Glob(filepath.Join(tr.s.Machine.Rootfs(), runs, "*-apply.jsonl"))
	if err != nil || len(logs) <= tr.before {
		return nil, errors.New("no log")
	}
	text, err := os.ReadFile(logs[tr.before])
	if err != nil {
		return nil, err
	}
	return events(string(text)), nil
}

// events are those of a log, but for a last line that was cut off with the power.
func events(log string) []event {
	var all []event
	for line := range strings.Lines(log) {
		var e event
		if json.Unmarshal([]byte(line), &e) == nil {
			all = append(all, e)
		}
	}
	return all
}

// inPhase is the phase that began last.
func (tr *trial) inPhase() string {
	all, err := tr.soFar()
	if err != nil {
		return err.Error()
	}
	phase := ""
	for _, e := range all {
		if e.Kind == "begin" {
			phase = e.Step
		}
	}
	return phase
}

// backedUp is when the run in progress began the backup that it has made; zero before that.
func (tr *trial) backedUp() time.Time {
	const phase = "backup"
	all, _ := tr.soFar()
	var began time.Time
	for _, e := range all {
		switch {
		case e.Step == phase && e.Kind == "begin":
			began = e.Time
		case e.Step == phase && e.Kind == "end":
			return began
		}
	}
	return time.Time{}
}

// proof reads in the run's own log whether the fault hit where it is to: nothing may have begun after a
// fatal one. Of a bad release it says where that made the run fail.
func (tr *trial) proof() error {
	text := tr.s.Exec(tr.T, fmt.Sprintf("ls %s/*-apply.jsonl | sed -n %dp | xargs --no-run-if-empty cat", runs, tr.before+1))
	current, ended, failed := "", false, ""
	for _, e := range events(text) {
		switch {
		case e.Kind == "begin":
			current, ended = e.Step, false
			if !slices.ContainsFunc(steps, func(s step) bool { return s.id == current }) {
				tr.Errorf("the matrix knows no step %q", current)
			}
		case e.Kind == "end" && e.Step == current:
			ended = true
		case e.Kind == "failed":
			tr.Logf("it failed in %q: %s", e.Step, e.Text)
			if failed == "" {
				failed = e.Step
			}
		}
	}
	switch {
	case tr.c.strike == nil:
		tr.row.hit = failed
	case tr.row.hit != tr.c.at.Step:
		return fmt.Errorf("%w: it came in %q, not in %q", errLate, tr.row.hit, tr.c.at.Step)
	case tr.c.fatal && (current != tr.c.at.Step || ended):
		return fmt.Errorf("%w: the log ends in %q (over: %v), not in %q", errLate, current, ended, tr.c.at.Step)
	}
	return nil
}

// tidy wants nothing to be left of the run but what the documents say.
func (tr *trial) tidy() {
	tr.Helper()
	var wrong []string
	for _, name := range tr.left() {
		switch {
		case strings.HasPrefix(name, "mattermost_checkpoint_") && tr.row.ended != stage.Before: // the way back by hand
		case strings.HasPrefix(name, "mattermost_failed_") && tr.c.keeps && tr.row.ended == tr.c.before():
		default:
			wrong = append(wrong, name)
		}
	}
	if len(wrong) > 0 {
		tr.Errorf("left behind on %s: %s", tr.row.ended, strings.Join(wrong, " "))
	}
	tr.s.Serves(tr.T, tr.row.ended)
}

// left lists locks, gates and databases beside Mattermost's own.
func (tr *trial) left() []string {
	tr.Helper()
	return strings.Fields(tr.s.Exec(tr.T, `
ls /var/lib/townsquare/lock 2>/dev/null || true
nft list tables | grep -o townsquare_gate || true
runuser -u postgres -- psql -XAtqc "select datname from pg_database where not datistemplate and datname not in ('postgres', 'mattermost') order by 1"`))
}

// next wants the next upgrade to work. A version that failed is skipped first, and one that works
// is published in its place.
func (tr *trial) next() {
	tr.Helper()
	target := tr.c.target()
	skipped := slices.Contains(tr.s.Bad(tr.T), target)
	if skipped != tr.c.skips {
		tr.Errorf("on the skip list: %v, want %v", skipped, tr.c.skips)
	}
	if skipped {
		tr.s.Upgrade(tr.Context(), "apply", "--json", "--yes", "--to", target).Must(tr.T, 3)
		tr.s.Stage.Localcloud(tr.Context(), "mirror", "publish", "--only", stage.Before, stage.Patch, "--esr", "9.10").Must(tr.T)
		target = stage.Patch
	}
	tr.s.Apply(tr.T, target, "2s")
	tr.s.Serves(tr.T, target)
	if left := tr.left(); len(left) > 1 || len(left) == 1 && !strings.HasPrefix(left[0], "mattermost_checkpoint_") {
		tr.Errorf("left behind by the next upgrade: %s", strings.Join(left, " "))
	}
}
