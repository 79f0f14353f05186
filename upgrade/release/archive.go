package release

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// The vendor's version archive is one entry a minor version and edition:
//
//	Mattermost Team Edition v11.7.9 *Extended Support Release (ESR)* - [View Changelog](…) - …
//
//	- `https://releases.mattermost.com/11.7.9/mattermost-team-11.7.9-linux-amd64.tar.gz`
//	- SHA-256 Checksum: `df9b…54f0`
//	- GPG Signature: [https://….tar.gz.sig](https://….tar.gz.sig)
//
// in two tabs, one an edition. Source: docs/main/product-overview/version-archive.mdx in the
// server's repository, as of autumn 2026.

const pageArchive = "version archive"

// vendorEntries is the least number of entries an edition has on the vendor's own page (it has more
// than a hundred, and only grows); fewer means that the page, or our reading of it, is broken.
const vendorEntries = 80

var (
	entryHeading = regexp.MustCompile(`^Mattermost (Enterprise|Team) Edition v?(\d\S*)(.*)$`)
	entryURL     = regexp.MustCompile("^[-*]\\s+`?<?(https?://[^`>\\s]+\\.tar\\.gz)(?:\\?[^`>\\s]*)?>?`?\\s*$")
	entryHash    = regexp.MustCompile(`^[-*]\s+SHA-256 Checksum:(.*)$`)
	entrySig     = regexp.MustCompile(`^[-*]\s+GPG Signature:\s*(?:\[[^\]]*\]\(([^)\s]+)\)|<?([^>\s]+)>?)\s*$`)
	entryTab     = regexp.MustCompile(`^<TabItem\s.*value="mattermost-(enterprise|team)`)
	hexHash      = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// archivePage is one reading of the page.
type archivePage struct {
	source  string // its address, for errors
	least   int    // entries each edition on the page must have
	line    int
	tab     Edition
	entry   *Release
	start   int // line of the entry's heading
	entries []Release
}

// parseArchive reads the page into releases for amd64, in the page's order. source is the page's
// address and least the fewest entries an edition may have.
func parseArchive(source string, least int, body []byte) ([]Release, error) {
	p := &archivePage{source: source, least: least}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.line++
		if err := p.read(strings.TrimSpace(lines.Text())); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, p.shape("lines of text", err.Error())
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return p.entries, p.plausible()
}

func (p *archivePage) shape(expected, found string) error {
	return &ShapeError{Page: pageArchive, URL: p.source, Line: p.line, Expected: expected, Found: found}
}

func (p *archivePage) read(line string) error {
	if m := entryTab.FindStringSubmatch(line); m != nil {
		p.tab = Edition(m[1])
		return p.finish()
	}
	if strings.HasPrefix(line, "</TabItem>") {
		p.tab = ""
		return p.finish()
	}
	if m := entryHeading.FindStringSubmatch(line); m != nil {
		return p.begin(Edition(strings.ToLower(m[1])), m[2], m[3])
	}
	if m := entryURL.FindStringSubmatch(line); m != nil {
		return p.set("download address", func(r *Release) *string { return &r.URL }, m[1])
	}
	if m := entryHash.FindStringSubmatch(line); m != nil {
		value := cmp.Or(strings.Trim(m[1], "` \t"), "nothing")
		return p.set("SHA-256", func(r *Release) *string { return &r.SHA256 }, value)
	}
	if m := entrySig.FindStringSubmatch(line); m != nil {
		return p.set("signature", func(r *Release) *string { return &r.SignatureURL }, m[1]+m[2])
	}
	return nil
}

func (p *archivePage) begin(e Edition, version, rest string) error {
	if err := p.finish(); err != nil {
		return err
	}
	v, err := Parse(version)
	if err != nil {
		return p.shape("a heading with a version of three numbers", fmt.Sprintf("%.80q", version))
	}
	if p.tab != "" && p.tab != e {
		return p.shape("entries of "+string(p.tab)+" in its tab", string(e)+" "+v.String())
	}
	// The mark stands before the first link; after it the words occur in changelog addresses too.
	mark, _, _ := strings.Cut(rest, " - ")
	p.start = p.line
	p.entry = &Release{Version: v, Edition: e, Arch: AMD64, ESR: strings.Contains(mark, "Extended Support Release") || strings.Contains(mark, "(ESR)")}
	return nil
}

func (p *archivePage) set(what string, field func(*Release) *string, value string) error {
	if p.entry == nil {
		return p.shape("a heading \"Mattermost … Edition v…\" before a "+what, fmt.Sprintf("%.120q", value))
	}
	f := field(p.entry)
	if *f != "" {
		return p.shape("one "+what+" for "+p.entry.Version.String(), "a second one")
	}
	*f = value
	return nil
}

// finish checks the entry that was being read and keeps it.
func (p *archivePage) finish() error {
	r := p.entry
	if r == nil {
		return nil
	}
	at := p.line
	p.line, p.entry = p.start, nil
	switch {
	case r.URL == "":
		return p.shape("a download address below the heading of "+r.Version.String(), "none")
	case r.SHA256 == "":
		return p.shape("a SHA-256 below the heading of "+r.Version.String(), "none")
	}
	if err := p.consistent(r); err != nil {
		return err
	}
	for _, other := range p.entries {
		if other.Version == r.Version && other.Edition == r.Edition {
			return p.shape("one entry a release", "a second entry for "+string(r.Edition)+" "+r.Version.String())
		}
	}
	switch {
	case hexHash.MatchString(r.SHA256):
		r.SHA256 = strings.ToLower(r.SHA256)
	case strings.EqualFold(r.SHA256, "TBD"):
		r.Unusable, r.SHA256 = "the vendor has not published its checksum yet (TBD)", ""
	default:
		r.Unusable, r.SHA256 = fmt.Sprintf("its checksum on the vendor's page is not 64 hex digits: %.80q", r.SHA256), ""
	}
	if r.SignatureURL == "" && r.Unusable == "" {
		r.Unusable = "the vendor publishes no signature for it"
	}
	p.entries = append(p.entries, *r)
	p.line = at
	return nil
}

// consistent checks that the addresses of an entry are of the release its heading names: a page
// with the lines of two entries mixed up would otherwise install another version or edition.
func (p *archivePage) consistent(r *Release) error {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return p.shape("an https address", fmt.Sprintf("%.120q", r.URL))
	}
	names := []string{r.Name()}
	if r.Edition == Enterprise { // before 3.1 the file name said which edition it was
		names = append(names, strings.Replace(r.Name(), "mattermost-", "mattermost-enterprise-", 1))
	}
	if base := path.Base(u.Path); base != names[0] && base != names[len(names)-1] {
		return p.shape("the archive "+names[0], fmt.Sprintf("%.120q", base))
	}
	if dir := path.Base(path.Dir(u.Path)); dir != r.Version.String() {
		return p.shape("an address below …/"+r.Version.String()+"/", fmt.Sprintf("%.120q", u.Path))
	}
	if r.SignatureURL != "" && r.SignatureURL != r.URL+".sig" {
		return p.shape("the signature "+r.URL+".sig", fmt.Sprintf("%.120q", r.SignatureURL))
	}
	return nil
}

// plausible refuses a page that reads well but cannot be whole.
func (p *archivePage) plausible() error {
	p.line = 0
	count := map[Edition]int{}
	broken := 0
	for _, r := range p.entries {
		count[r.Edition]++
		if r.SHA256 == "" {
			broken++
		}
	}
	if len(p.entries) == 0 {
		return p.shape("entries such as \"Mattermost Team Edition v11.7.9\"", "none")
	}
	if p.least > 1 {
		for _, e := range []Edition{Enterprise, Team} {
			if count[e] < p.least {
				return p.shape(fmt.Sprintf("at least %d entries for %s", p.least, e), fmt.Sprint(count[e]))
			}
		}
	}
	if 2*broken > len(p.entries) {
		return p.shape("checksums of 64 hex digits", fmt.Sprintf("%d of %d entries without one", broken, len(p.entries)))
	}
	return nil
}
