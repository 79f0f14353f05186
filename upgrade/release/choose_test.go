package release

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// someReleases is a catalogue like the vendor's: an ESR or two, one entry a minor version.
func someReleases() *Catalog {
	return &Catalog{Releases: []Release{
		listed("12.0.0", Team, false), listed("11.10.1", Team, false), listed("11.7.10", Team, true), listed("11.7.11", Enterprise, true),
		listed("10.12.4", Team, false), listed("10.11.23", Team, true), listed("10.5.14", Team, true), listed("9.11.18", Team, true),
		listed("9.10.3", Team, false), listed("8.1.13", Team, true), listed("7.7.4", Team, false), listed("7.1.9", Team, true),
		listed("6.7.2", Team, false), listed("5.37.10", Team, true), listed("5.36.2", Team, false),
	}}
}

func TestChoose(t *testing.T) {
	for name, test := range map[string]struct {
		from     string
		policy   Policy
		change   func(*Catalog)
		target   string // "" when up to date
		path     string
		why      string
		warnings []string // each a part of one warning, in order
	}{
		"first install, ESR":          {"", Policy{}, nil, "11.7.10", "", "newest Extended Support Release", nil},
		"first install, latest":       {"", Policy{Track: "latest"}, nil, "12.0.0", "", "newest release", nil},
		"first install, a minor":      {"", Policy{Track: "9.10"}, nil, "9.10.3", "", "newest release of 9.10", nil},
		"first install, one version":  {"", Policy{To: "7.7.4"}, nil, "7.7.4", "", "asked for", nil},
		"other edition":               {"", Policy{Edition: Enterprise}, nil, "11.7.11", "", "", nil},
		"ESR to ESR":                  {"10.11.23", Policy{}, nil, "11.7.10", "", "", nil},
		"patch of the ESR":            {"11.7.3", Policy{}, nil, "11.7.10", "", "", nil},
		"feature release to ESR":      {"10.12.4", Policy{}, nil, "11.7.10", "", "", nil},
		"beyond the next ESR":         {"9.11.18", Policy{}, nil, "11.7.10", "", "", []string{"beyond the next Extended Support Release, 10.5"}},
		"newer than every ESR":        {"12.0.0", Policy{}, nil, "", "", "12.0.0 is the newest version", []string{"no Extended Support Release newer than"}},
		"its patches meanwhile":       {"11.10.0", Policy{}, nil, "11.10.1", "", "newest release of 11.10", []string{"no Extended Support Release newer than"}},
		"newer than anything":         {"12.3.0", Policy{Track: "latest"}, nil, "", "", "12.3.0 is the newest", nil},
		"ESR up to date":              {"11.7.10", Policy{}, nil, "", "", "11.7.10 is the newest version that track esr", nil},
		"latest up to date":           {"12.0.0", Policy{Track: "latest"}, nil, "", "", "", nil},
		"asked for what is there":     {"9.10.3", Policy{To: "9.10.3"}, nil, "", "", "installed already", nil},
		"what is there, not listed":   {"9.10.0", Policy{To: "9.10.0"}, nil, "", "", "installed already", nil},
		"minor not listed any more":   {"10.0.1", Policy{Track: "10.0"}, nil, "", "", "", nil},
		"stop-over at 7.1":            {"6.7.2", Policy{To: "7.7.4"}, nil, "7.7.4", "7.1.9", "leads over 7.1.9", nil},
		"two stop-overs":              {"5.36.2", Policy{To: "8.1.13"}, nil, "8.1.13", "5.37.10 7.1.9", "over 5.37.10 and 7.1.9", nil},
		"to the stop-over itself":     {"6.7.2", Policy{To: "7.1.9"}, nil, "7.1.9", "", "", nil},
		"arm64":                       {"", Policy{Arch: ARM64}, nil, "11.7.10", "", "", []string{"no checksum for arm64"}},
		"security":                    {"11.7.9", Policy{}, func(c *Catalog) { c.Releases[2].Security = true }, "11.7.10", "", "with security fixes", nil},
		"not from 10.11.17 to 10.12":  {"10.11.20", Policy{Track: "latest"}, func(c *Catalog) { c.Releases = c.Releases[4:] }, "10.11.23", "", "", []string{"10.12.4 is passed over"}},
		"without 10.5.1":              {"9.11.18", Policy{Track: "latest"}, func(c *Catalog) { c.Releases = []Release{listed("10.5.1", Team, true)} }, "", "", "", []string{"10.5.1 is passed over"}},
		"checksum not there yet":      {"11.7.9", Policy{}, func(c *Catalog) { c.Releases[2].Unusable = "TBD" }, "", "", "", []string{"11.7.10 is passed over: TBD"}},
		"failed before":               {"11.7.9", Policy{Failed: map[string]string{"11.7.10": "it did not start"}}, nil, "", "", "", []string{"11.7.10 is passed over: it is on this host's skip list (it did not start)"}},
		"failed before, older enough": {"10.5.14", Policy{Failed: map[string]string{"11.7.10": "x"}}, nil, "10.11.23", "", "", []string{"passed over"}},
		"somebody's decision":         {"11.7.9", Policy{Skip: map[string]string{"11.7.10": "breaks LDAP"}}, nil, "", "", "", []string{"skip list (breaks LDAP); to take it all the same: remove it from skip"}},
	} {
		t.Run(name, func(t *testing.T) {
			cat := someReleases()
			if test.change != nil {
				test.change(cat)
			}
			if test.policy.Edition == "" {
				test.policy.Edition = Team
			}
			choice := must(Choose(cat, version(t, test.from), test.policy))(t)
			if got := choice.UpToDate; got != (test.target == "") {
				t.Fatalf("up to date %v: %+v", got, choice)
			}
			if test.target != "" {
				if got := choice.Target.Version.String(); got != test.target {
					t.Errorf("target %s, want %s", got, test.target)
				}
				next, _, _ := strings.Cut(test.path+" ", " ")
				if next == "" {
					next = test.target
				}
				if got := choice.Next.Version.String(); got != next {
					t.Errorf("next %s, want %s", got, next)
				}
			}
			var path []string
			for _, v := range choice.Path {
				path = append(path, v.String())
			}
			if got := strings.Join(path, " "); got != test.path {
				t.Errorf("path %q, want %q", got, test.path)
			}
			if !strings.Contains(choice.Why, test.why) {
				t.Errorf("why %q, want %q", choice.Why, test.why)
			}
			if !slices.EqualFunc(choice.Warnings, test.warnings, strings.Contains) {
				t.Errorf("warnings %q, want %q", choice.Warnings, test.warnings)
			}
		})
	}
}

// A version that is not taken is told apart from one that is not there, and so is the end of support.
func TestHeld(t *testing.T) {
	cat := someReleases()
	cat.Releases[0].Unusable = "no checksum"
	for i := range cat.Releases {
		if cat.Releases[i].Version.String() == "7.7.4" {
			cat.Releases[i].EndOfLife = time.Date(2023, 4, 15, 0, 0, 0, 0, time.UTC)
		}
	}
	cat.Releases = slices.Delete(cat.Releases, 2, 9)
	p := Policy{Edition: Team, Track: TrackLatest, Skip: map[string]string{"11.10.1": "breaks LDAP"}, Failed: map[string]string{"8.1.13": "rolled back manually"}}
	choice := must(Choose(cat, version(t, "7.7.4"), p))(t)
	want := []Held{{"12.0.0", HeldUnusable, "no checksum"}, {"11.10.1", HeldSkipped, "breaks LDAP"}, {"8.1.13", HeldFailed, "rolled back manually"}}
	if !slices.Equal(choice.Held, want) || !choice.UpToDate || choice.Ended.Year() != 2023 {
		t.Errorf("%+v", choice)
	}
	if !strings.HasPrefix(choice.Why, "12.0.0 cannot be installed yet (no checksum); 11.10.1 is skipped (breaks LDAP)") {
		t.Errorf("why %q", choice.Why)
	}
	choice = must(Choose(cat, version(t, "9.11.18"), Policy{Edition: Team, Track: TrackLatest}))(t)
	if choice.UpToDate || !choice.Ended.IsZero() {
		t.Errorf("%+v", choice)
	}
}

func TestChooseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		from    string
		policy  Policy
		change  func(*Catalog)
		parts   []string // of the message
		unknown bool
	}{
		"everything wrong at once": {"", Policy{Edition: "both", Arch: "riscv64", Track: "newest", To: "9"}, nil, []string{"edition", "architecture", "track", "--to"}, true},
		"unknown version":          {"9.10.3", Policy{To: "10.11.22"}, nil, []string{"not in the vendor's version archive", "10.5.14, 10.11.23, 10.12.4"}, true},
		"unknown, above all":       {"9.10.3", Policy{To: "13.0.0"}, nil, []string{"allowed: 12.0.0"}, true},
		"unknown edition's":        {"", Policy{Edition: Enterprise, To: "9.10.3"}, nil, []string{"9.10.3 (enterprise)", "11.7.11"}, true},
		"nothing listed":           {"", Policy{To: "9.10.3"}, func(c *Catalog) { c.Releases = nil }, []string{"lists no release of this edition"}, true},
		"downgrade":                {"10.5.14", Policy{To: "9.10.3"}, nil, []string{"older than the installed 10.5.14"}, false},
		"downgrade, not listed":    {"10.5.14", Policy{To: "9.9.0"}, nil, []string{"older than the installed 10.5.14"}, false},
		"track is older":           {"10.5.14", Policy{Track: "9.10"}, nil, []string{"older than the installed 10.5.14"}, false},
		"track unknown":            {"10.5.14", Policy{Track: "10.99"}, nil, []string{"lists no 10.99", "10.12.4, 11.7.10"}, true},
		"track cannot be had":      {"10.5.14", Policy{Track: "11.7"}, func(c *Catalog) { c.Releases[2].Unusable = "TBD" }, []string{"no release of 11.7 can be installed"}, false},
		"no ESR at all":            {"", Policy{}, func(c *Catalog) { c.Releases = []Release{listed("9.10.3", Team, false)} }, []string{"no Extended Support Release"}, false},
		"failed before":            {"9.10.3", Policy{To: "9.11.18", Failed: map[string]string{"9.11.18": "it hung"}}, nil, []string{"skip list: it hung"}, false},
		"no checksum yet":          {"9.10.3", Policy{To: "9.11.18"}, func(c *Catalog) { c.Releases[7].Unusable = "no checksum" }, []string{"9.11.18: no checksum"}, false},
		"breaks the database":      {"10.11.20", Policy{To: "10.12.4"}, nil, []string{"trip over"}, false},
		"avoided":                  {"9.10.3", Policy{To: "10.5.0"}, func(c *Catalog) { c.Releases = append(c.Releases, listed("10.5.0", Team, true)) }, []string{"10.5.0 and 10.5.1"}, false},
		"stop-over not listed":     {"6.7.2", Policy{To: "7.7.4"}, func(c *Catalog) { c.Releases = slices.Delete(c.Releases, 11, 12) }, []string{"7.1 ESR before anything newer"}, false},
		"stop-over failed":         {"6.7.2", Policy{To: "7.7.4", Failed: map[string]string{"7.1.9": "x"}}, nil, []string{"this stop-over is on this host's skip list"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cat := someReleases()
			if test.change != nil {
				test.change(cat)
			}
			if test.policy.Edition == "" {
				test.policy.Edition = Team
			}
			choice, err := Choose(cat, version(t, test.from), test.policy)
			var refusal *ChoiceError
			if !errors.As(err, &refusal) {
				t.Fatalf("error %v, want a ChoiceError; chose %+v", err, choice)
			}
			for _, part := range test.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message does not say %q: %v", part, err)
				}
			}
			if refusal.Unknown != test.unknown {
				t.Errorf("unknown %v, want %v", refusal.Unknown, test.unknown)
			}
			for _, p := range refusal.Problems {
				if p.Allowed == "" || p.Hint == "" {
					t.Errorf("a problem without what is allowed or a hint: %+v", p)
				}
			}
		})
	}
}

// Whatever the policy, a choice is never older than what is installed, and of no other edition.
func TestChooseNeverGoesBack(t *testing.T) {
	cat := someReleases()
	var tracks = []string{"esr", "latest"}
	for _, r := range cat.Releases {
		tracks = append(tracks, r.Version.Minor())
	}
	for _, installed := range cat.Releases {
		for _, track := range tracks {
			choice, err := Choose(cat, installed.Version, Policy{Edition: Team, Track: track})
			if err != nil {
				continue
			}
			if choice.UpToDate {
				continue
			}
			if !installed.Version.Less(choice.Next.Version) || choice.Target.Version.Less(choice.Next.Version) || choice.Next.Edition != Team {
				t.Errorf("from %s on %s: %+v", installed.Version, track, choice)
			}
			if problems := jump(installed.Version, choice.Next.Version); len(problems) > 0 {
				t.Errorf("from %s on %s: chose %s against the rules: %v", installed.Version, track, choice.Next.Version, problems)
			}
		}
	}
}

// The clock of synctest starts at 2000-01-01.
func TestSupportWarnings(t *testing.T) {
	for name, test := range map[string]struct {
		installed, target string // days of support left, as dates
		want              []string
	}{
		"both supported":    {"2001-01-01", "2001-06-01", nil},
		"ends soon":         {"2000-02-01", "2001-06-01", []string{"support for the installed 11.7 ends on 2000-02-01"}},
		"ends today":        {"2000-01-01", "2001-06-01", []string{"support for the installed 11.7 ends on 2000-01-01"}},
		"ended":             {"1999-12-30", "2001-06-01", []string{"support for the installed 11.7 ended on 1999-12-30"}},
		"the target's, too": {"1999-10-01", "1999-12-01", []string{"support for 11.10 ended on 1999-12-01", "support for the installed 11.7 ended"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cat := &Catalog{Releases: []Release{listed("11.10.1", Team, false), listed("11.7.10", Team, true)}}
				cat.Releases[0].EndOfLife = must(time.Parse(time.DateOnly, test.target))(t)
				cat.Releases[1].EndOfLife = must(time.Parse(time.DateOnly, test.installed))(t)
				choice := must(Choose(cat, version(t, "11.7.9"), Policy{Edition: Team, Track: "latest"}))(t)
				if !slices.EqualFunc(choice.Warnings, test.want, strings.Contains) {
					t.Errorf("warnings %q, want %q", choice.Warnings, test.want)
				}
			})
		})
	}
}
