package release

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"townsquare/upgrade/internal/golden"
)

// The vendor's page as it was in August 2026: every entry of both editions is read.
func TestArchiveGolden(t *testing.T) {
	body := must(os.ReadFile("testdata/version-archive.mdx"))(t)
	releases := must(parseArchive(VendorArchive, vendorEntries, body))(t)
	var b strings.Builder
	for _, r := range releases {
		fmt.Fprintf(&b, "%s %s esr=%v sha256=%.12s signed=%v %s", r.Version, r.Edition, r.ESR, r.SHA256, r.SignatureURL != "", r.URL)
		if r.Unusable != "" {
			fmt.Fprintf(&b, " unusable: %s", r.Unusable)
		}
		b.WriteString("\n")
	}
	golden.Check(t, "version-archive.golden", b.String())
}

// The live page has prose, tabs, links and lines about software bills of materials around the lines
// that matter, and sometimes no blank line below a heading.
const livePage = `import Tabs from '@theme/Tabs';

To check a file, see [the key](https://deb.packages.mattermost.com/pubkey.gpg).

<Tabs>
<TabItem value="mattermost-enterprise" label="Mattermost Enterprise">

Mattermost Enterprise Edition v11.7.10 *Extended Support Release (ESR)* - [View Changelog](https://d.example.org/c.html#release-v11-7-extended-support-release) - [Download](https://r.example.org/11.7.10/mattermost-11.7.10-linux-amd64.tar.gz?src=arc)

- ` + "`https://r.example.org/11.7.10/mattermost-11.7.10-linux-amd64.tar.gz`" + `
- SHA-256 Checksum: ` + "`BB66B6F7DDD310E4CEDE39B256A2F35B825347045A05BB14EAEA90081381E270`" + `
- GPG Signature: [https://r.example.org/11.7.10/mattermost-11.7.10-linux-amd64.tar.gz.sig](https://r.example.org/11.7.10/mattermost-11.7.10-linux-amd64.tar.gz.sig)
- SBOM Download Link: [https://r.example.org/11.7.10/sbom-enterprise-v11.7.10.json](https://r.example.org/11.7.10/sbom-enterprise-v11.7.10.json)

Mattermost Enterprise Edition v3.0.3 - [View Changelog](https://d.example.org/) - [Download](https://r.example.org/)  
- ` + "`https://r.example.org/3.0.3/mattermost-enterprise-3.0.3-linux-amd64.tar.gz?src=arc`" + `
- SHA-256 Checksum: ` + "`3c692f8532b1858aefd2f0c2c22721e6b18734580a84a8ae5d6ce891f0e16f07`" + `

</TabItem>
<TabItem value="mattermost-team-edition" label="Mattermost Team Edition">

The open source Mattermost Team Edition is a single binary.
Mattermost Team Edition is what this tab lists.

Mattermost Team Edition v12.0.0 - [View Changelog](https://d.example.org/c.html#release-v12-0-extended-support-release)
- ` + "`https://r.example.org/12.0.0/mattermost-team-12.0.0-linux-amd64.tar.gz`" + `
- SHA-256 Checksum: ` + "`TBD`" + `
- GPG Signature: https://r.example.org/12.0.0/mattermost-team-12.0.0-linux-amd64.tar.gz.sig

</TabItem>
</Tabs>
`

func TestArchiveLivePage(t *testing.T) {
	releases := must(parseArchive("https://d.example.org/page", 1, []byte(livePage)))(t)
	if len(releases) != 3 {
		t.Fatalf("read %d entries, want 3: %v", len(releases), releases)
	}
	esr, old, tbd := releases[0], releases[1], releases[2]
	if !esr.ESR || esr.SHA256 != "bb66b6f7ddd310e4cede39b256a2f35b825347045a05bb14eaea90081381e270" || esr.Unusable != "" {
		t.Errorf("11.7.10: %+v", esr)
	}
	if old.ESR || old.URL != "https://r.example.org/3.0.3/mattermost-enterprise-3.0.3-linux-amd64.tar.gz" || old.Unusable == "" {
		t.Errorf("3.0.3, unsigned: %+v", old)
	}
	if tbd.ESR || tbd.SHA256 != "" || !strings.Contains(tbd.Unusable, "TBD") {
		t.Errorf("12.0.0, without a checksum: %+v", tbd)
	}
	if tbd.SignatureURL != tbd.URL+".sig" {
		t.Errorf("signature written without a link: %q", tbd.SignatureURL)
	}
}

func TestArchiveOddChecksum(t *testing.T) {
	short, whole := listed("9.10.0", Team, false), listed("9.9.3", Team, false)
	short.SHA256 = strings.Repeat("a", 63)
	releases := must(parseArchive("https://x", 1, pageOf(short, whole)))(t)
	if releases[0].SHA256 != "" || !strings.Contains(releases[0].Unusable, "64 hex digits") || releases[1].Unusable != "" {
		t.Errorf("read %+v", releases)
	}
}

// A page that changed shape is an error that names the page, the line, and what was expected there.
func TestArchiveShapes(t *testing.T) {
	whole := string(pageOf(listed("9.10.0", Team, false), listed("9.9.3", Team, false)))
	with := func(old, new string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("the page does not contain %q", old)
		}
		return strings.Replace(whole, old, new, 1)
	}
	url := "https://releases.example.org/9.10.0/mattermost-team-9.10.0-linux-amd64.tar.gz"
	for name, test := range map[string]struct {
		page     string
		least    int
		line     int
		expected string
	}{
		"empty":                     {"", 1, 0, "entries such as"},
		"another page":              {"<!doctype html><html><body>Sign in</body></html>", 1, 0, "entries such as"},
		"headings of another level": {strings.ReplaceAll(whole, "Mattermost Team", "### Mattermost Team"), 1, 7, "a heading"},
		"few entries":               {whole, 80, 0, "at least 80 entries"},
		"version of two numbers":    {with("Edition v9.10.0", "Edition v9.10"), 1, 5, "three numbers"},
		"release candidate":         {with("Edition v9.10.0", "Edition v9.10.0-rc1"), 1, 5, "three numbers"},
		"no address":                {with("- `"+url+"`\n", ""), 1, 5, "a download address"},
		"no checksum":               {with("- SHA-256 Checksum: `"+strings.Repeat("a1", 32)+"`\n", ""), 1, 5, "a SHA-256"},
		"all checksums unreadable":  {strings.ReplaceAll(whole, strings.Repeat("a1", 32), "see below"), 1, 0, "checksums of 64"},
		"two checksums":             {with("- GPG", "- SHA-256 Checksum: `"+strings.Repeat("b2", 32)+"`\n- GPG"), 1, 9, "one SHA-256"},
		"address of another":        {with(url+"`", strings.ReplaceAll(url, "9.10.0", "9.10.1")+"`"), 1, 5, "the archive mattermost-team-9.10.0"},
		"another folder":            {with(url+"`", strings.Replace(url, "/9.10.0/", "/9.10.1/", 1)+"`"), 1, 5, "an address below"},
		"other edition's file":      {with(url+"`", strings.Replace(url, "-team", "", 1)+"`"), 1, 5, "the archive mattermost-team-9.10.0"},
		"address over http":         {with(url+"`", strings.Replace(url, "https:", "http:", 1)+"`"), 1, 5, "an https address"},
		"signature of another":      {with("("+url, "("+strings.Replace(url, "9.10.0", "9.9.3", 1)), 1, 5, "the signature"},
		"an entry twice":            {whole + whole, 1, 20, "one entry a release"},
		"lines before any heading":  {"- `" + url + "`\n" + whole, 1, 1, "a heading"},
		"entry in the wrong tab":    {"<TabItem value=\"mattermost-enterprise\">\n" + whole, 1, 6, "entries of enterprise"},
		"a line without end":        {whole + strings.Repeat("x", 2<<20), 1, 15, "lines of text"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseArchive("https://docs.example.org/page", test.least, []byte(test.page))
			var shape *ShapeError
			if !errors.As(err, &shape) {
				t.Fatalf("error %v, want a ShapeError", err)
			}
			if shape.Line != test.line || !strings.Contains(shape.Expected, test.expected) {
				t.Errorf("line %d, expected %q; want line %d, %q", shape.Line, shape.Expected, test.line, test.expected)
			}
			for _, part := range []string{"version archive", "https://docs.example.org/page", shape.Found} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message does not say %q: %v", part, err)
				}
			}
			if !strings.Contains(shape.Hint(), "https://docs.example.org/page") {
				t.Errorf("the hint does not name the page: %s", shape.Hint())
			}
		})
	}
}
