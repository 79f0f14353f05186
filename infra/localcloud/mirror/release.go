// Package mirror is the vendor of Mattermost inside the local cloud: real servers in archives of the official
// layout, signed, with the vendor's pages in the vendor's formats, served over HTTPS — and every way in which a
// vendor can let an upgrader down, switched on by whoever tests.
package mirror

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"townsquare/infra/localcloud/build"
)

// Edition is one of the vendor's two builds, named as in the archive's file names.
type Edition string

// The editions. There is no source of the Enterprise Edition: here it is the same server that says it is one.
const (
	Team       Edition = "team"
	Enterprise Edition = "enterprise"
)

// Release is one version that the mirror can publish.
type Release struct {
	Number  string    // "9.10.0"
	Date    time.Time // of the release; every file in the archive carries it
	Minor   Minor
	Code    build.Mattermost // the server in it
	Fault   string           // a key of faulty, "" for a release that works
	Default bool             // the demo needs it
}

// Minor is what the vendor's release policy knows of a minor version.
type Minor struct {
	Name     string // "9.10"
	Extended bool   // an Extended Support Release (ESR)
	Ended    time.Time
}

// minors has the vendor's own dates of support, oldest version first: also of versions that the mirror cannot
// publish, since the vendor's policy is never without an Extended Support Release.
func minors() []Minor {
	return []Minor{
		{Name: "6.3", Extended: true, Ended: day(2023, 1, 15)},
		{Name: "6.7", Ended: day(2022, 9, 15)},
		{Name: "7.1", Extended: true, Ended: day(2023, 4, 15)},
		{Name: "7.7", Ended: day(2023, 4, 15)},
		{Name: "7.8", Extended: true, Ended: day(2023, 11, 15)},
		{Name: "8.1", Extended: true, Ended: day(2024, 5, 15)},
		{Name: "9.5", Extended: true, Ended: day(2024, 11, 15)},
		{Name: "9.9", Ended: day(2024, 9, 15)},
		{Name: "9.10", Ended: day(2024, 10, 15)},
		{Name: "9.11", Extended: true, Ended: day(2025, 5, 15)},
	}
}

// findMinor is the entry of minors called name, or one that says nothing but the name.
func findMinor(name string) Minor {
	for _, m := range minors() {
		if m.Name == name {
			return m
		}
	}
	return Minor{Name: name}
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 12, 0, 0, 0, time.UTC)
}

// Faulty is a release made to fail in one certain way after it was installed.
type Faulty struct {
	Name   string // as in `mirror publish --bad`
	Number string // the patch release it is published as
	About  string
	Stamp  bool // its server carries Number; otherwise it carries 9.10.0's
}

// Faulties lists the releases that fail, all patch releases of 9.10. Their bin/mattermost answers `version` and
// every other subcommand as a good one does, so only running them shows what they are.
func Faulties() []Faulty {
	return []Faulty{
		{Name: "exit", Number: "9.10.2", About: "ends with code 1 at once"},
		{Name: "hang", Number: "9.10.3", About: "never becomes ready"},
		{Name: "crash", Number: "9.10.4", About: "becomes ready, dies 3 s later, each time", Stamp: true},
		{Name: "wrong-version", Number: "9.10.5", About: "serves 9.10.0"},
		{Name: "segfault", Number: "9.10.6", About: "is killed by a segmentation fault at once"},
		{Name: "migrate-exit", Number: "9.10.7", About: "migrates the database, then ends with code 1"},
		{Name: "deaf", Number: "9.10.8", About: "says it is ready and listens nowhere"},
		{Name: "crash-later", Number: "9.10.9", About: "works for 20 s, then dies, each time", Stamp: true},
		{Name: "slow-start", Number: "9.10.10", About: "works, but needs 20 s to become ready", Stamp: true},
		{Name: "newer-postgres", Number: "9.10.11", About: "finds its PostgreSQL too old, and ends"},
	}
}

// Releases lists every version the mirror can publish, oldest first.
func Releases() []Release {
	dates := map[string]time.Time{
		"6.3.0": day(2022, 1, 16), "6.7.2": day(2022, 7, 21), "7.7.0": day(2023, 1, 16), "7.7.1": day(2023, 2, 3),
		"9.10.0": day(2024, 7, 16), "9.10.1": day(2024, 8, 1), "9.11.0": day(2024, 8, 16),
	}
	var list []Release
	for _, m := range build.Mattermosts() {
		list = append(list, Release{
			Number: m.Number, Date: dates[m.Number], Minor: findMinor(minorOf(m.Number)), Code: m,
			Default: m.Number == "7.7.0" || m.Number == "9.10.0",
		})
	}
	good, _ := build.FindMattermost("9.10.0")
	for i, f := range Faulties() {
		code := good
		if f.Stamp {
			code = good.As(f.Number)
		}
		list = append(list, Release{
			Number: f.Number, Date: day(2024, 8, 2+i), Minor: findMinor("9.10"), Code: code, Fault: f.Name,
		})
	}
	return list
}

// Find looks number up in Releases. The error lists what there is.
func Find(number string) (Release, error) {
	var known []string
	for _, r := range Releases() {
		if r.Number == number {
			return r, nil
		}
		known = append(known, r.Number)
	}
	return Release{}, fmt.Errorf("no release %q: there are %s", number, strings.Join(known, ", "))
}

// FindFaulty looks up the release that fails in the way called name.
func FindFaulty(name string) (Release, error) {
	var known []string
	for _, f := range Faulties() {
		if f.Name == name {
			return Find(f.Number)
		}
		known = append(known, f.Name)
	}
	return Release{}, fmt.Errorf("no way to fail called %q: there are %s", name, strings.Join(known, ", "))
}

// minorOf is "9.10" of "9.10.0".
func minorOf(number string) string {
	return number[:strings.LastIndexByte(number, '.')]
}

// compareNumbers orders versions as numbers: 9.9.0 before 9.10.0.
func compareNumbers(a, b string) int {
	return slices.Compare(triple(a), triple(b))
}

func triple(number string) []int {
	var out []int
	for part := range strings.SplitSeq(number, ".") {
		n, _ := strconv.Atoi(part) // numbers come from the table above
		out = append(out, n)
	}
	return out
}
