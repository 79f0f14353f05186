package mirror

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// hosts are the names under which the mirror answers, in place of the vendor's own.
const (
	hostReleases = "releases.townsquare.test" // archives and signatures
	hostDocs     = "docs.townsquare.test"     // version archive and release policy, as raw files
	hostAPI      = "api.townsquare.test"      // GitHub's
	hostPackages = "packages.townsquare.test" // the signing key
)

// Paths of the vendor's pages.
const (
	pathArchive = "/version-archive.mdx"
	pathPolicy  = "/release-policy.mdx"
	pathGitHub  = "/repos/mattermost/mattermost/releases"
	pathFeed    = "/mattermost/mattermost/releases.atom"
	pathKey     = "/pubkey.gpg"
)

// catalogue is what is published at one moment.
type catalogue struct {
	packages []Package
	esr      []string             // minors marked as Extended Support Release besides those that the vendor marked
	ends     map[string]time.Time // by minor: end of support, in place of the usual rule
	hashes   map[string]string    // by version: what the archive page shows in place of the SHA-256
	now      time.Time
}

// published lists the packages of an edition, newest version first.
func (c catalogue) published(e Edition) []Package {
	var out []Package
	for _, p := range c.packages {
		if p.Edition == e {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Package) int { return compareNumbers(b.Number, a.Number) })
	return out
}

// latest lists the newest published patch of every minor, newest first: the vendor's archive has no others.
func (c catalogue) latest(e Edition) []Package {
	return slices.CompactFunc(c.published(e), func(a, b Package) bool { return minorOf(a.Number) == minorOf(b.Number) })
}

// newest is the newest published minor, "" if nothing is published.
func (c catalogue) newest() string {
	if all := c.latest(Team); len(all) > 0 {
		return minorOf(all[0].Number)
	}
	return ""
}

// minor is what the policy says of a minor version: the newest one is supported until the fifteenth of the month
// in three months, every other one ended when the vendor's did.
func (c catalogue) minor(name string) Minor {
	m := findMinor(name)
	if slices.Contains(c.esr, name) {
		m.Extended = true
	}
	if name == c.newest() {
		m.Ended = time.Date(c.now.Year(), c.now.Month()+3, 15, 0, 0, 0, 0, time.UTC)
	}
	if end, ok := c.ends[name]; ok {
		m.Ended = end
	}
	return m
}

// archivePage is the version archive: an entry for every minor, in two tabs.
func (c catalogue) archivePage() string {
	var b strings.Builder
	b.WriteString("---\ntitle: \"Version Archive\"\n---\n")
	b.WriteString("\n<TabItem value=\"mattermost-enterprise\" label=\"Mattermost Enterprise\">\n\n")
	for _, p := range c.latest(Team) {
		c.archiveEntry(&b, c.enterprise(p), "Mattermost Enterprise Edition")
	}
	b.WriteString("</TabItem>\n<TabItem value=\"mattermost-team-edition\" label=\"Mattermost Team Edition\">\n\n")
	for _, p := range c.latest(Team) {
		c.archiveEntry(&b, p, "Mattermost Team Edition")
	}
	b.WriteString("</TabItem>\n")
	return b.String()
}

// enterprise is the Enterprise build of the same version. Where none is published, the page still has its line, as
// the vendor's has, with a hash that nothing can match; downloading it gives 404.
func (c catalogue) enterprise(p Package) Package {
	for _, e := range c.published(Enterprise) {
		if e.Number == p.Number {
			return e
		}
	}
	file := archiveName(p.Number, Enterprise, p.Arch)
	nothing := sha256.Sum256([]byte("no such archive: " + file))
	return Package{Number: p.Number, Edition: Enterprise, Arch: p.Arch, File: file, SHA256: hex.EncodeToString(nothing[:])}
}

func (c catalogue) archiveEntry(b *strings.Builder, p Package, title string) {
	mark := ""
	if c.minor(minorOf(p.Number)).Extended {
		mark = " *Extended Support Release (ESR)*"
	}
	hash := cmp.Or(c.hashes[p.Number], p.SHA256)
	url := "https://" + hostReleases + p.path()
	fmt.Fprintf(b, "\n%s v%s%s\n\n- `%s`\n- SHA-256 Checksum: `%s`\n- GPG Signature: [%s%s](%s%s)\n",
		title, p.Number, mark, url, hash, url, signatureSuffix, url, signatureSuffix)
}

// path is where the archive is on the releases host.
func (p Package) path() string { return "/" + p.Number + "/" + p.File }

// policyPage is the release policy up to the newest published version: supported ones in a chart, oldest first, and
// those whose support ended in a table, newest first.
func (c catalogue) policyPage() string {
	released := map[string]time.Time{}
	for _, p := range c.latest(Team) {
		released[minorOf(p.Number)] = p.Date
	}
	var chart, table []string
	for _, known := range minors() {
		if c.newest() == "" || compareNumbers(known.Name, c.newest()) > 0 {
			break
		}
		m := c.minor(known.Name)
		if !m.Ended.Before(c.now) {
			chart = append(chart, chartLine(m, cmp.Or(released[m.Name], keyCreated)))
			continue
		}
		kind := "Feature"
		if m.Extended {
			kind = "Extended"
		}
		table = append(table, fmt.Sprintf("| v%s | %s | %s |\n", m.Name, kind, m.Ended.Format(time.DateOnly)))
	}
	slices.Reverse(table)
	return "---\ntitle: \"Release Policy\"\n---\n\n" +
		"```mermaid\ngantt\n    dateFormat  YYYY-MM-DD\n    axisFormat  %b %y\n\n    section Releases\n" +
		strings.Join(chart, "") + "```\n\n" +
		"| **Release** | **Release Type** | **Support ended** |\n|:---|:---|:---|\n" + strings.Join(table, "")
}

func chartLine(m Minor, released time.Time) string {
	title, marks := "v"+m.Name, ":active"
	if m.Extended {
		title, marks = title+" & Desktop App v5.0 Extended Support", ":crit, :active"
	}
	return fmt.Sprintf("    %-22s %s, %s, %s\n", title, marks, released.Format(time.DateOnly), m.Ended.Format(time.DateOnly))
}

// newestDate is when the newest of the published releases came out: the pages' Last-Modified.
func (c catalogue) newestDate() time.Time {
	if len(c.packages) == 0 {
		return keyCreated
	}
	return slices.MaxFunc(c.packages, func(a, b Package) int { return cmp.Compare(a.Date.Unix(), b.Date.Unix()) }).Date
}
