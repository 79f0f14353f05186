package release

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Catalog is every release the vendor's pages list, cross-checked.
type Catalog struct {
	Releases []Release // for amd64, newest first, Team before Enterprise; Find gives other architectures
	Warnings []string  // what the pages contradict each other in, or what could not be read
}

// Limits on what a page may weigh, in bytes: several times what they weighed in autumn 2026.
const (
	archiveLimit = 2 << 20
	policyLimit  = 1 << 20
	gitHubLimit  = 8 << 20
)

// Catalog reads the three pages, all at a time, and cross-checks them. A *ShapeError says that a page changed; a
// *NetworkError or *StatusError that the archive or the policy could not be read. GitHub only adds
// dates and notes, so not reaching it is a warning.
func (c *Client) Catalog(ctx context.Context) (*Catalog, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // nobody waits for the other pages when one cannot be read
	source := cmp.Or(c.Sources.Archive, VendorArchive)
	archive := c.ask(ctx, source, archiveLimit)
	policy := c.ask(ctx, cmp.Or(c.Sources.Policy, VendorPolicy), policyLimit)
	gitHub := c.ask(ctx, cmp.Or(c.Sources.GitHub, VendorGitHub), gitHubLimit)
	page, err := archive()
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", pageArchive, err)
	}
	entries, err := parseArchive(source, least(source, VendorArchive, vendorEntries), page.body)
	if err != nil {
		return nil, err
	}
	page.keep()

	source = cmp.Or(c.Sources.Policy, VendorPolicy)
	if page, err = policy(); err != nil {
		return nil, fmt.Errorf("read the %s: %w", pagePolicy, err)
	}
	minors, err := parsePolicy(source, least(source, VendorPolicy, vendorMinors), page.body)
	if err != nil {
		return nil, err
	}
	page.keep()

	cat := &Catalog{Releases: entries}
	tags, err := c.gitHub(ctx, cat, gitHub)
	if err != nil {
		return nil, err
	}
	if err := cat.crossCheck(source, minors, tags, time.Now()); err != nil {
		return nil, err
	}
	slices.SortFunc(cat.Releases, func(a, b Release) int {
		return cmp.Or(b.Version.Compare(a.Version), -cmp.Compare(a.Edition, b.Edition))
	})
	return cat, nil
}

// least is what a page must hold: much for the vendor's own, one for a mirror with a choice of releases.
func least(source, vendor string, n int) int {
	if source == vendor {
		return n
	}
	return 1
}

// ask begins to read a page; the function that it returns waits for it.
func (c *Client) ask(ctx context.Context, source string, limit int64) func() (page, error) {
	type answer struct {
		page page
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		p, err := c.page(ctx, source, limit)
		answers <- answer{p, err}
	}()
	return func() (page, error) {
		a := <-answers
		return a.page, a.err
	}
}

// gitHub reads GitHub's releases; what cannot be reached becomes a warning and an older copy, if
// there is one, serves instead.
func (c *Client) gitHub(ctx context.Context, cat *Catalog, ask func() (page, error)) (map[Version]published, error) {
	source := cmp.Or(c.Sources.GitHub, VendorGitHub)
	page, err := ask()
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		warning := fmt.Sprintf("GitHub was not read, so release dates and security notes may be missing: %v", err)
		if status := new(StatusError); errors.As(err, &status) && (status.Code == 403 || status.Code == 429) {
			warning = "GitHub allows no more questions for now (60 an hour), so release dates and security notes may be missing"
		}
		cat.Warnings = append(cat.Warnings, warning)
		if page, err = c.cached(source, gitHubLimit); err != nil {
			return nil, nil
		}
	}
	tags, err := parseGitHub(source, bytes.NewReader(page.body))
	if err != nil {
		return nil, err
	}
	page.keep()
	return tags, nil
}

// crossCheck fills in what the other pages say of each release, and finds where they disagree. A
// contradiction about a release that is still supported is an error, as the track "esr" would
// follow the wrong page; about an old one it is a warning.
func (cat *Catalog) crossCheck(source string, minors map[minor]support, tags map[Version]published, now time.Time) error {
	newest := map[minor]Version{}
	for i := range cat.Releases {
		r := &cat.Releases[i]
		m := r.Version.of()
		if newest[m].Less(r.Version) {
			newest[m] = r.Version
		}
		if p, ok := tags[r.Version]; ok {
			r.Published, r.Security = p.At, p.Security
		}
		s, ok := minors[m]
		if !ok {
			continue
		}
		r.EndOfLife = s.End
		if s.ESR == r.ESR {
			continue
		}
		saying := map[bool]string{true: "an Extended Support Release", false: "a feature release"}
		if !now.After(s.End) {
			return &ShapeError{Page: pagePolicy, URL: source, Line: s.line,
				Expected: fmt.Sprintf("%s to be %s, as the %s says of %s", m, saying[r.ESR], pageArchive, r.Version),
				Found:    saying[s.ESR]}
		}
		cat.warn("the vendor's pages disagree on whether %s, no longer supported, was %s", m, saying[true])
	}
	cat.stale(newest, minors, tags, now)
	return nil
}

// stale warns of releases that another page knows and the archive does not list yet. A mirror that
// offers old releases only is not behind by mistake, and not warned of.
func (cat *Catalog) stale(newest map[minor]Version, minors map[minor]support, tags map[Version]published, now time.Time) {
	var last minor
	for m := range newest {
		if last.compare(m) < 0 {
			last = m
		}
	}
	for m, s := range minors {
		if minors[last].End.After(now) && last.compare(m) < 0 && s.Start.Before(now) && !now.After(s.End) {
			cat.warn("the release policy lists %s as released on %s; the version archive does not have it yet", m, s.Start.Format(time.DateOnly))
		}
	}
	ahead := map[minor]Version{}
	for v := range tags {
		if ahead[v.of()].Less(v) {
			ahead[v.of()] = v
		}
	}
	for m, v := range ahead {
		if have, ok := newest[m]; ok && have.Less(v) {
			cat.warn("%s was published on GitHub on %s; the version archive still lists %s", v, tags[v].At.Format(time.DateOnly), have)
		}
	}
	slices.Sort(cat.Warnings)
	cat.Warnings = slices.Compact(cat.Warnings)
}

func (cat *Catalog) warn(format string, args ...any) {
	cat.Warnings = append(cat.Warnings, fmt.Sprintf(format, args...))
}

// Lists tells whether the archive has a version, or a newer patch release of the same minor version
// in its place: the vendor lists the newest of each only.
func (cat *Catalog) Lists(v Version, e Edition) bool {
	return slices.ContainsFunc(cat.Releases, func(r Release) bool {
		return r.Edition == e && r.Version.of() == v.of() && !r.Version.Less(v)
	})
}

// Find gives one release for an architecture. The archive lists amd64 only; the vendor publishes
// arm64 beside it, signed, but without a checksum on the page.
func (cat *Catalog) Find(v Version, e Edition, arch string) (*Release, bool) {
	for _, r := range cat.Releases {
		if r.Version == v && r.Edition == e {
			return r.forArch(arch), true
		}
	}
	return nil, false
}

// forArch is the same release built for another architecture.
func (r Release) forArch(arch string) *Release {
	if r.Arch == arch {
		return &r
	}
	if r.SHA256 == "" && r.SignatureURL != "" {
		r.Unusable = "" // what was wrong was amd64's checksum
	}
	from, to := "-linux-"+r.Arch+".tar.gz", "-linux-"+arch+".tar.gz"
	r.Arch, r.SHA256 = arch, ""
	r.URL = strings.Replace(r.URL, from, to, 1)
	r.SignatureURL = strings.Replace(r.SignatureURL, from, to, 1)
	return &r
}
