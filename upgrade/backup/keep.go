package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Keep is how many backups stay: the last ones, and the newest of each of the last so many days, weeks
// and months that have one.
type Keep struct{ Last, Daily, Weekly, Monthly int }

// Pruned is what Prune did.
type Pruned struct {
	Removed []Snapshot // the oldest first
	Kept    int
	Partial int // parts of backups that were cut short
}

// Prune removes the backups of site that keep does not keep, except those whose IDs are held, what is
// left of those that were cut short, and the data that nothing names any more. Other sites' backups stay
// as they are. Cut short itself, the next one goes on: a backup's manifest goes first, and without it
// the rest counts as nothing.
func (r *Repository) Prune(ctx context.Context, site string, keep Keep, held ...string) (Pruned, error) {
	p, err := r.prune(ctx, site, keep, held)
	if err != nil {
		err = fmt.Errorf("prune the backups: %w", err)
	}
	return p, err
}

func (r *Repository) prune(ctx context.Context, site string, keep Keep, held []string) (p Pruned, err error) {
	if keep == (Keep{}) {
		return p, errors.New("refusing to keep none")
	}
	if r.fresh {
		return p, nil
	}
	ids, err := r.outdated(ctx, site, keep)
	if err != nil {
		return p, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(held, short(id)) })
	for _, id := range ids {
		m, err := r.manifest(ctx, id)
		if err != nil {
			return p, err
		}
		p.Removed = append(p.Removed, Snapshot{ID: short(id), Time: m.Time, Manifest: m})
	}
	slices.SortFunc(p.Removed, func(a, b Snapshot) int { return a.Time.Compare(b.Time) })
	if err := r.forget(ctx, ids); err != nil {
		p.Removed = nil
		return p, err
	}
	after, err := r.raws(ctx)
	if err != nil {
		return p, err
	}
	for _, s := range after {
		if s.is(tagManifest) && s.Host == site {
			p.Kept++
		}
	}
	rest := orphans(after, site)
	if err := r.forget(ctx, rest); err != nil {
		return p, err
	}
	p.Partial = max(0, len(rest)-2*len(p.Removed))
	if _, err := r.restic(ctx, "prune"); err != nil {
		return p, r.explain(err)
	}
	return p, nil
}

// outdated asks restic which backups of site keep does not keep. Nothing is removed: restic knows no
// way to hold single ones.
func (r *Repository) outdated(ctx context.Context, site string, keep Keep) ([]string, error) {
	args := []string{"forget", "--dry-run", "--json", "--tag", tagOurs + "," + tagManifest, "--host", site, "--group-by", "host"}
	for flag, n := range map[string]int{"--keep-last": keep.Last, "--keep-daily": keep.Daily, "--keep-weekly": keep.Weekly, "--keep-monthly": keep.Monthly} {
		if n > 0 {
			args = append(args, flag, strconv.Itoa(n))
		}
	}
	out, err := r.restic(ctx, args...)
	if err != nil {
		return nil, r.explain(err)
	}
	var groups []struct{ Remove []raw }
	if text := bytes.TrimSpace(out); len(text) > 0 { // nothing where the site has no backup
		// Only the first value: some versions write lines of text after it.
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&groups); err != nil {
			return nil, fmt.Errorf("restic forget --dry-run: %w", err)
		}
	}
	var ids []string
	for _, g := range groups {
		for _, s := range g.Remove {
			ids = append(ids, s.ID)
		}
	}
	return ids, nil
}

// forget removes restic's snapshots. Their number is bounded by the length of a command line, which
// thousands do not reach.
func (r *Repository) forget(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := r.restic(ctx, append([]string{"forget"}, ids...)...); err != nil {
		return r.explain(err)
	}
	return nil
}

// orphans are the parts of site whose run has no manifest. The caller holds the host's lock, so that
// no run of this site is at work.
func orphans(all []raw, site string) []string {
	whole := map[string]bool{}
	run := func(s raw) string {
		for _, t := range s.Tags {
			if !slices.Contains([]string{tagOurs, tagDatabase, tagFiles, tagManifest}, t) {
				return t
			}
		}
		return ""
	}
	for _, s := range all {
		if s.is(tagManifest) {
			whole[s.Host+" "+run(s)] = true
		}
	}
	var ids []string
	for _, s := range all {
		if s.Host == site && !s.is(tagManifest) && !whole[s.Host+" "+run(s)] {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// lock is one of restic's, as it is in the repository.
type lock struct {
	Time time.Time `json:"time"`
	Host string    `json:"hostname"`
	PID  int       `json:"pid"`
}

// Unlock removes the locks that restic processes of this host left when they were killed. It must
// be called while the host's own lock is held, so that none of ours is at work. Locks of other
// machines stay: restic removes those that are too old by itself.
func (r *Repository) Unlock(ctx context.Context) (removed int, err error) {
	if r.fresh {
		return 0, nil
	}
	out, err := r.restic(ctx, "list", "locks", "--no-lock", "--quiet")
	if err != nil {
		return 0, fmt.Errorf("look for locks in the repository: %w", r.explain(err))
	}
	name, err := os.Hostname()
	if err != nil {
		return 0, err
	}
	booted := bootTime()
	stale, others := 0, 0
	for _, id := range strings.Fields(string(out)) {
		data, err := r.restic(ctx, "cat", "lock", id, "--no-lock", "--quiet")
		var l lock
		if err != nil || json.Unmarshal(data, &l) != nil {
			others++ // gone meanwhile, or not to be understood: not ours to judge
			continue
		}
		if l.Host == name && (l.Time.Before(booted) || !isRestic(l.PID)) {
			stale++
		} else {
			others++
		}
	}
	if stale == 0 {
		return 0, nil
	}
	args := []string{"unlock", "--quiet"}
	if others == 0 {
		// restic alone would believe in a process that has the number of one before the last boot.
		args = append(args, "--remove-all")
	}
	if _, err := r.restic(ctx, args...); err != nil {
		return 0, fmt.Errorf("remove the locks of a killed backup: %w", r.explain(err))
	}
	return stale, nil
}

// isRestic says whether the process is alive and restic.
func isRestic(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err != nil || strings.TrimSpace(string(comm)) == "restic"
}

// bootTime is when the host came up; zero when nobody says.
func bootTime() time.Time {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
				return time.Unix(n, 0)
			}
		}
	}
	return time.Time{}
}
