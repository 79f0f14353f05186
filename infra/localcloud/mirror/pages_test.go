package mirror

import (
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var updateGolden = flag.Bool("update", false, "write what is made to testdata")

// fixed is a catalogue whose packages were never packed: pages only show what the descriptions say.
func fixed(numbers ...string) catalogue {
	c := catalogue{now: today}
	for _, number := range numbers {
		r, err := Find(number)
		if err != nil {
			panic(err)
		}
		c.packages = append(c.packages, Package{
			Number: number, Edition: Team, Arch: "amd64", Date: r.Date,
			File: archiveName(number, Team, "amd64"), SHA256: strings.Repeat("ab", 32),
		})
	}
	return c
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateGolden {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, path), got); diff != "" {
		t.Errorf("%s (-update writes it): %s", name, diff)
	}
}

func TestArchivePage(t *testing.T) {
	c := fixed("6.3.0", "7.7.0", "9.10.1", "9.10.0", "9.10.10")
	c.esr = []string{"9.10"}
	golden(t, "version-archive.mdx", c.archivePage())
}

func TestPolicyPage(t *testing.T) {
	c := fixed("6.3.0", "6.7.2", "7.7.0", "9.10.0")
	golden(t, "release-policy.mdx", c.policyPage())
	c.esr, c.ends = []string{"9.10"}, map[string]time.Time{"7.7": day(2027, 5, 15)}
	golden(t, "release-policy-changed.mdx", c.policyPage())
}

func TestGitHubReleases(t *testing.T) {
	text, err := json.MarshalIndent(fixed("7.7.0", "9.10.0", "9.10.1").gitHubReleases(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "releases.json", string(text)+"\n")
}

func TestAtomFeed(t *testing.T) {
	text, err := fixed("7.7.0", "9.10.0").atom()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "releases.atom", string(text)+"\n")
	var feed atomFeed
	if err := xml.Unmarshal(text, &feed); err != nil || len(feed.Entries) != 2 || feed.Entries[0].Title != "v9.10.0" {
		t.Errorf("read back: %v, %+v", err, feed.Entries)
	}
}

// The page must be readable by whoever reads the vendor's: edition, version, mark, URL, hash, in this order.
var archiveEntry = regexp.MustCompile(`(?m)^Mattermost (Enterprise|Team) Edition v(\S+)( \*Extended Support Release \(ESR\)\*)?\n\n` +
	"- `(https://\\S+)`\n- SHA-256 Checksum: `([0-9a-f]{64}|TBD)`\n- GPG Signature: \\[(\\S+)\\]\\((\\S+)\\)$")

func TestArchivePageHasTheLatestPatchOfEachMinor(t *testing.T) {
	c := fixed("9.10.0", "7.7.0", "9.10.10", "9.10.9")
	var got []string
	for _, m := range archiveEntry.FindAllStringSubmatch(c.archivePage(), -1) {
		got = append(got, m[1]+" "+m[2])
		if m[6] != m[4]+".sig" || m[7] != m[6] {
			t.Errorf("signature of %s: %s, %s", m[4], m[6], m[7])
		}
	}
	want := []string{"Enterprise 9.10.10", "Enterprise 7.7.0", "Team 9.10.10", "Team 7.7.0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNothingPublished(t *testing.T) {
	c := fixed()
	if archiveEntry.MatchString(c.archivePage()) || strings.Contains(c.policyPage(), "| v") {
		t.Error("pages of nothing show something")
	}
	if text, _, err := c.gitHubPage(1, 30); err != nil || string(text) != "[]" {
		t.Errorf("GitHub lists %s, %v", text, err)
	}
}

func TestEnterpriseTabShowsWhatIsPublished(t *testing.T) {
	c := fixed("9.10.0")
	enterprise := Package{Number: "9.10.0", Edition: Enterprise, Arch: "amd64", SHA256: strings.Repeat("cd", 32),
		File: archiveName("9.10.0", Enterprise, "amd64")}
	c.packages = append(c.packages, enterprise)
	for _, m := range archiveEntry.FindAllStringSubmatch(c.archivePage(), -1) {
		if want := map[string]string{"Team": "ab", "Enterprise": "cd"}[m[1]]; !strings.HasPrefix(m[5], want) {
			t.Errorf("%s has hash %s", m[1], m[5])
		}
	}
}

func TestReleaseTable(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Releases() {
		if seen[r.Number] {
			t.Errorf("%s is there twice", r.Number)
		}
		seen[r.Number] = true
		if r.Minor.Name == "" || r.Date.Before(keyCreated) || r.Code.Module == "" {
			t.Errorf("%s is incomplete: %+v", r.Number, r)
		}
	}
	for _, f := range Faulties() {
		if r, err := FindFaulty(f.Name); err != nil || r.Fault != f.Name || !strings.Contains(faultySource, `case "`+f.Name+`"`) {
			t.Errorf("%s: %v, %v", f.Name, r, err)
		}
	}
	if _, err := Find("9.99.0"); err == nil || !strings.Contains(err.Error(), "9.10.0") {
		t.Errorf("an unknown version: %v", err)
	}
	if compareNumbers("9.9.0", "9.10.0") >= 0 {
		t.Error("versions are not compared as numbers")
	}
}
