package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"townsquare/infra/localcloud/stage"
)

// rehearsal is what `upgrade rehearse` foresaw of an upgrade that was made afterwards.
type rehearsal struct {
	Copying  time.Duration `json:"copying_ns"`
	Starting time.Duration `json:"starting_ns"`
	Waited   time.Duration `json:"waited_ns"`
	Downtime time.Duration `json:"downtime_ns"`
	Slowest  time.Duration `json:"slowest_ns"` // answer of the server that serves, meanwhile
}

// foresee rehearses an upgrade, and leaves the server at rest. A rehearsal takes the newest backup, and
// all sizes are backed up to one repository: the newest must be this one's.
func (b *bench) foresee(ctx context.Context, s *stage.Server, of size, version string) (*rehearsal, error) {
	if r := s.Upgrade(ctx, "backup", "create"); r.Code != 0 {
		return nil, fmt.Errorf("%s", r)
	}
	if err := b.atWork(ctx, s, toOffline, of); err != nil {
		return nil, err
	}
	r := s.Upgrade(ctx, "rehearse", "--json", "--to", version)
	if r.Code != 0 {
		return nil, fmt.Errorf("%s", r)
	}
	var report struct {
		Rehearsal *rehearsal `json:"rehearsal"`
	}
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		return nil, fmt.Errorf("%w: %s", err, r)
	}
	if report.Rehearsal == nil {
		return nil, fmt.Errorf("it does not say what it foresees: %s", r)
	}
	fmt.Printf("          rehearse --to %s: %+v\n", version, *report.Rehearsal)
	return report.Rehearsal, nil
}

// missedBy is how many times as long, or as short, as foreseen people waited; 1 is exact, 0 unknown.
func (o outage) missedBy() float64 {
	if o.Rehearsal == nil || o.Rehearsal.Downtime <= 0 || o.Seen.Gap <= 0 {
		return 0
	}
	f := float64(o.Rehearsal.Downtime) / float64(o.Seen.Gap)
	return max(f, 1/f)
}

// rehearsed are the outages that a rehearsal came before, the smallest community first.
func (r *results) rehearsed() []outage {
	all := slices.DeleteFunc(slices.Clone(r.Outages), func(o outage) bool { return o.missedBy() == 0 || r.leftOut(o) })
	slices.SortStableFunc(all, func(x, y outage) int { return x.Posts - y.Posts })
	return all
}

func (r *results) writeRehearsals(b *bytes.Buffer) {
	all := r.rehearsed()
	if len(all) == 0 {
		return
	}
	b.WriteString("\n## Foreseen\n\nWhat `upgrade rehearse` said beforehand, on a copy beside the server that served, and what the upgrade then was. The slowest answer\nis of the server that served meanwhile.\n\n")
	t := table{b}
	t.head("", "posts", "foreseen", "of it the copy", "and the start", "was", "the copy", "the start", "foreseen / was", "slowest answer", "load")
	for _, o := range all {
		t.row(o.How, o.Size, seconds(o.Rehearsal.Downtime), seconds(o.Rehearsal.Copying), seconds(o.Rehearsal.Starting-o.Rehearsal.Waited),
			seconds(o.Seen.Gap), seconds(took([]outage{o}, copying)), seconds(took([]outage{o}, starting)),
			times(float64(o.Rehearsal.Downtime)/float64(o.Seen.Gap)), seconds(o.Rehearsal.Slowest), loads([]outage{o}))
	}
}
