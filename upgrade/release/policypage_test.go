package release

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/internal/golden"
)

func TestPolicyGolden(t *testing.T) {
	body := must(os.ReadFile("testdata/release-policy.mdx"))(t)
	minors := must(parsePolicy(VendorPolicy, vendorMinors, body))(t)
	var b strings.Builder
	for _, m := range slices.SortedFunc(maps.Keys(minors), minor.compare) {
		s := minors[m]
		start := "-"
		if !s.Start.IsZero() {
			start = s.Start.Format(time.DateOnly)
		}
		fmt.Fprintf(&b, "%s esr=%v %s to %s\n", m, s.ESR, start, s.End.Format(time.DateOnly))
	}
	golden.Check(t, "release-policy.golden", b.String())
}

const smallPolicy = `# Policy

| Product | Version |
|---|---|
| v0.0 | not a release |

` + "```mermaid" + `
---
config:
  gantt:
    fontSize: 22
---
gantt
    dateFormat  YYYY-MM-DD
    section Releases
    v11.7 & Desktop App v6.2 Extended Support :crit, :active, 2026-05-15, 2027-05-15
    v11.8                  :active, 2026-06-16, 2026-09-15
` + "```" + `

| **Release** | **Release Type** | **Support ended** |
|:---|:---|:---|
| v11.7 | Extended | 2027-05-15 |
| v9.0 | Major | 2023-12-15 |
`

func TestPolicySmall(t *testing.T) {
	minors := must(parsePolicy("https://x", 1, []byte(smallPolicy)))(t)
	if len(minors) != 3 {
		t.Fatalf("read %d minor versions, want 3: %v", len(minors), minors)
	}
	if s := minors[minor{11, 7}]; !s.ESR || s.Start.Format(time.DateOnly) != "2026-05-15" || s.End.Format(time.DateOnly) != "2027-05-15" {
		t.Errorf("11.7, in the chart and the table: %+v", s)
	}
	if s := minors[minor{9, 0}]; s.ESR || !s.Start.IsZero() {
		t.Errorf("9.0: %+v", s)
	}
}

func TestPolicyShapes(t *testing.T) {
	with := func(old, new string) string {
		if !strings.Contains(smallPolicy, old) {
			t.Fatalf("the page does not contain %q", old)
		}
		return strings.Replace(smallPolicy, old, new, 1)
	}
	for name, test := range map[string]struct {
		page     string
		least    int
		line     int
		expected string
	}{
		"empty":                 {"", 1, 0, "a mermaid chart"},
		"no chart":              {with("```mermaid", "```"), 1, 0, "a mermaid chart"},
		"chart without end":     {strings.SplitAfter(smallPolicy, "2026-09-15\n")[0], 1, 0, "an end of the mermaid chart"},
		"few releases":          {smallPolicy, 15, 0, "at least 15 releases"},
		"other date format":     {with("dateFormat  YYYY-MM-DD", "dateFormat DD.MM.YYYY"), 1, 14, "dateFormat"},
		"dates the other way":   {with("2026-06-16, 2026-09-15", "15.09.2026"), 1, 17, "first day, last day"},
		"no such day":           {with("2026-09-15", "2026-09-31"), 1, 17, "a date"},
		"another century":       {with("2026-05-15, 2027-05-15", "2026-05-15, 2127-05-15"), 1, 16, "a date"},
		"ends before it begins": {with("2026-06-16, 2026-09-15", "2026-09-16, 2026-06-15"), 1, 17, "to end after it began"},
		"version of one number": {with("v11.8  ", "v11  "), 1, 17, "a minor version"},
		"unknown type":          {with("| Major |", "| Long |"), 1, 23, "a release type"},
		"two columns":           {with("| v9.0 | Major | 2023-12-15 |", "| v9.0 | Major |"), 1, 23, "three columns"},
		"contradicts itself":    {with("| v11.7 | Extended | 2027-05-15 |", "| v11.7 | Feature | 2027-05-15 |"), 1, 22, "one statement about v11.7"},
		"no ESR":                {strings.ReplaceAll(with("Extended Support", ""), "| Extended |", "| Feature |"), 1, 0, "an Extended Support Release"},
		"a line without end":    {smallPolicy + strings.Repeat("x", 2<<20), 1, 23, "lines of text"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parsePolicy("https://docs.example.org/policy", test.least, []byte(test.page))
			var shape *ShapeError
			if !errors.As(err, &shape) {
				t.Fatalf("error %v, want a ShapeError", err)
			}
			if shape.Line != test.line || !strings.Contains(shape.Expected, test.expected) {
				t.Errorf("line %d, expected %q (found %q); want line %d, %q", shape.Line, shape.Expected, shape.Found, test.line, test.expected)
			}
			if !strings.Contains(err.Error(), "release policy") {
				t.Errorf("the message does not name the page: %v", err)
			}
		})
	}
}

func TestGitHub(t *testing.T) {
	const page = `[
		{"tag_name": "v11.7.9", "published_at": "2026-08-12T10:00:00Z", "body": "Contains medium level Security fixes."},
		{"tag_name": "v11.10.0", "published_at": "2026-08-14T10:00:00Z", "body": "See the changelog."},
		{"tag_name": "v11.11.0", "published_at": "2026-08-20T10:00:00Z", "prerelease": true},
		{"tag_name": "v11.11.0-rc2", "published_at": "2026-08-21T10:00:00Z"},
		{"tag_name": "v11.12.0", "published_at": null, "draft": true},
		{"tag_name": "server/public/v0.1.21", "published_at": "2026-08-01T10:00:00Z"}
	]`
	tags := must(parseGitHub("https://x", strings.NewReader(page)))(t)
	if len(tags) != 2 || !tags[version(t, "11.7.9")].Security || tags[version(t, "11.10.0")].Security {
		t.Errorf("read %v", tags)
	}
	for name, page := range map[string]string{
		"nothing": "", "a page": "<html>", "an object": `{"message": "Not Found"}`, "no releases": "[]",
		"only pre-releases": `[{"tag_name": "v1.0.0", "published_at": "2026-08-20T10:00:00Z", "prerelease": true}]`,
		"other types":       `[{"tag_name": 7}]`, "cut off": `[{"tag_name": "v1.0.0", "published_at": "2026-08-20T10:00:00Z"}`,
	} {
		_, err := parseGitHub("https://x", strings.NewReader(page))
		if shape := new(ShapeError); !errors.As(err, &shape) {
			t.Errorf("%s: error %v, want a ShapeError", name, err)
		}
	}
}
