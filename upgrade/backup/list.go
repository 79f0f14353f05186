package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// raw is one of restic's snapshots.
type raw struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Host string    `json:"hostname"`
	Tags []string  `json:"tags"`
}

func (s raw) is(kind string) bool { return slices.Contains(s.Tags, kind) }

func (r *Repository) raws(ctx context.Context) ([]raw, error) {
	if r.fresh {
		return nil, nil
	}
	out, err := r.restic(ctx, "snapshots", "--json", "--no-lock", "--tag", tagOurs)
	if err != nil {
		return nil, fmt.Errorf("list the backups: %w", r.explain(err))
	}
	var all []raw
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("list the backups: %w", err)
	}
	return all, nil
}

// Snapshots lists the whole backups of all sites in the repository, the newest first.
func (r *Repository) Snapshots(ctx context.Context) ([]Snapshot, error) {
	all, err := r.raws(ctx)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, s := range all {
		there[s.ID], there[short(s.ID)] = true, true // restic before 0.17 tells the short one
	}
	list := []Snapshot{}
	for _, s := range all {
		if !s.is(tagManifest) {
			continue
		}
		m, err := r.manifest(ctx, s.ID)
		if err != nil {
			return nil, err
		}
		if there[m.Database] && there[m.Files] {
			list = append(list, Snapshot{ID: short(s.ID), Time: m.Time, Manifest: m})
		}
	}
	r.forgetManifests(there)
	slices.SortFunc(list, func(a, b Snapshot) int { return b.Time.Compare(a.Time) })
	return list, nil
}

// Find finds a backup: "latest" is the newest of site, or of the only site there is when that has
// none; everything else is an id or its beginning.
func (r *Repository) Find(ctx context.Context, what, site string) (Snapshot, error) {
	list, err := r.Snapshots(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	if len(list) == 0 {
		return Snapshot{}, &OpenError{Repository: r.o.Repository, Cause: ErrEmpty, hint: "upgrade backup create …"}
	}
	if what == "" || what == "latest" {
		return latest(list, site)
	}
	var found []Snapshot
	for _, s := range list {
		if strings.HasPrefix(s.ID, strings.ToLower(what)) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Snapshot{}, fmt.Errorf("there is no backup %s; the newest is %s", what, list[0].ID)
	}
	return Snapshot{}, fmt.Errorf("%d backups begin with %s", len(found), what)
}

func latest(list []Snapshot, site string) (Snapshot, error) {
	sites := []string{}
	for _, s := range list {
		if s.Manifest.Site == site {
			return s, nil
		}
		if !slices.Contains(sites, s.Manifest.Site) {
			sites = append(sites, s.Manifest.Site)
		}
	}
	if len(sites) == 1 {
		return list[0], nil
	}
	slices.Sort(sites)
	return Snapshot{}, fmt.Errorf("the repository has backups of %s, and none of %s: name one by its id", strings.Join(sites, ", "), site)
}

// manifest reads one from our own directory, where it is kept as it never changes, or from the
// repository.
func (r *Repository) manifest(ctx context.Context, id string) (Manifest, error) {
	data, err := os.ReadFile(r.manifestPath(id))
	if err != nil {
		var out bytes.Buffer
		c := r.command("dump", "--no-lock", id, "/"+manifestFile)
		c.Stdout = &out
		if _, err := r.o.Run(ctx, c); err != nil {
			return Manifest{}, fmt.Errorf("read the manifest of %s: %w", short(id), r.explain(err))
		}
		data = out.Bytes()
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("read the manifest of %s: %w", short(id), err)
	}
	if m.Kind != Kind || m.Format > Format {
		return m, fmt.Errorf("the manifest of %s is a %s of format %d; this program knows %s up to %d: take a newer one",
			short(id), m.Kind, m.Format, Kind, Format)
	}
	r.remember(id, data)
	return m, nil
}

func (r *Repository) manifestPath(id string) string {
	return filepath.Join(r.o.Dir, "manifests", id+".json")
}

// remember keeps a manifest at hand; to have it costs one call of restic, so that a failure is none.
func (r *Repository) remember(id string, data []byte) {
	if os.MkdirAll(filepath.Dir(r.manifestPath(id)), 0o700) == nil {
		_ = renameio.WriteFile(r.manifestPath(id), data, 0o600)
	}
}

// forgetManifests removes those of backups that are gone.
func (r *Repository) forgetManifests(there map[string]bool) {
	entries, err := os.ReadDir(filepath.Dir(r.manifestPath("")))
	if err != nil {
		return
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok && !there[id] {
			_ = os.Remove(r.manifestPath(id))
		}
	}
}

// IsEmpty says that err is about a repository without a backup.
func IsEmpty(err error) bool { return errors.Is(err, ErrEmpty) }
