package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// results is everything that was measured, kept in a file so that parts can be measured one by one.
type results struct {
	home  string // where results.json is
	shown string // where RESULTS.md and downtime.svg go

	Computer  computer  `json:"computer"`
	Outages   []outage  `json:"outages"`
	Backups   []timed   `json:"backups,omitempty"`
	Nothing   nothing   `json:"nothing"`
	Provision []timed   `json:"provision,omitempty"`
	Updated   time.Time `json:"updated"`
}

// timed is one thing and how long it took.
type timed struct {
	What     string        `json:"what"`
	Took     time.Duration `json:"took_ns"`
	Baseline time.Duration `json:"baseline_ns,omitempty"`
	Note     string        `json:"note,omitempty"`
	Peaks    []peak        `json:"peaks,omitempty"`
	Commit   string        `json:"commit,omitempty"`
	Load     string        `json:"load,omitempty"`
}

// openResults reads what was measured before on a computer like this one; elsewhere it begins anew.
func openResults(home, shown string) (*results, error) {
	r := &results{home: home, shown: shown}
	for _, dir := range []string{home, shown} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	here, err := describe()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(r.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("read %s: %w", r.path(), err)
		}
	}
	if r.Computer != here {
		r = &results{home: home, shown: shown, Computer: here}
	}
	return r, nil
}

func (r *results) path() string { return filepath.Join(r.home, "results.json") }

// addOutage writes one more down.
func (r *results) addOutage(o outage) error {
	r.Outages = append(r.Outages, o)
	return r.save()
}

func (r *results) save() error {
	r.Updated = time.Now().UTC()
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(r.path(), append(text, '\n'), 0o644), r.write())
}

// write makes the report.
func (r *results) write() error {
	return errors.Join(
		os.WriteFile(filepath.Join(r.shown, "RESULTS.md"), r.markdown(), 0o644),
		os.WriteFile(filepath.Join(r.shown, "downtime.svg"), r.plot(), 0o644))
}

// of are the outages of one way and one size; an empty size is all. Those that others spoilt are
// left out where there are better ones.
func (r *results) of(how, size string) []outage {
	return slices.DeleteFunc(slices.Clone(r.Outages), func(o outage) bool {
		return o.How != how || size != "" && o.Size != size || r.leftOut(o)
	})
}

// leftOut says that an outage was spoilt, and that there is another of its kind that was not.
func (r *results) leftOut(o outage) bool {
	return o.spoilt() && slices.ContainsFunc(r.Outages, func(x outage) bool { return x.How == o.How && x.Size == o.Size && !x.spoilt() })
}

// gaps are how long people were kept waiting.
func gaps(all []outage) []time.Duration {
	var found []time.Duration
	for _, o := range all {
		found = append(found, o.Seen.Gap)
	}
	return found
}

// ratio is the median of the outages, each divided by the restarts of its own boot.
func ratio(all []outage) float64 {
	var found []time.Duration // in millionths
	for _, o := range all {
		if o.Floor > 0 {
			found = append(found, time.Duration(1e6*float64(o.Seen.Gap)/float64(o.Floor)))
		}
	}
	return float64(median(found)) / 1e6
}

// median is 0 of nothing, and the mean of the middle two of an even number.
func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
