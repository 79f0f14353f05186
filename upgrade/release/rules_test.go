package release

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"townsquare/upgrade/problem"
)

// jump says why a server on from must not be taken directly to to, by the table of rules alone;
// nothing means it may. A zero from is a first install.
func jump(from, to Version) []problem.Problem {
	var found []problem.Problem
	where := "from " + from.String() + " to " + to.String()
	if from.IsZero() {
		where = "install " + to.String()
	}
	if to.Less(from) {
		found = append(found, problem.Problem{
			Where: where, Found: "a downgrade", Allowed: "a version newer than " + from.String(),
			Hint: "a database migrated by a newer version is not safe under an older one",
		})
	}
	for _, r := range Rules() {
		if !r.forbids(from, to) {
			continue
		}
		p := problem.Problem{Where: where, Found: r.Why, Allowed: r.allowed(), Hint: "see " + r.Source}
		if r.Kind == StopOver {
			p.Hint = "choose " + r.Stop.String() + " first; see " + r.Source
		}
		found = append(found, p)
	}
	return found
}

func TestJump(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		// Nothing stands in the way.
		{"", "9.10.0", ""},
		{"", "11.7.9", ""},
		{"7.7.0", "9.10.0", ""},
		{"9.10.0", "9.10.0", ""},
		{"5.30.0", "5.37.10", ""},
		{"5.37.10", "7.1.9", ""},
		{"6.3.0", "6.7.2", ""},
		{"6.7.2", "7.1.9", ""},
		{"7.1.0", "7.2.0", ""},
		{"10.4.5", "10.5.2", ""},
		{"10.11.16", "11.7.2", ""},
		{"10.11.17", "10.11.23", ""},
		{"10.11.17", "11.7.3", ""},
		{"10.12.4", "11.7.2", ""},
		// One row each.
		{"5.36.0", "6.0.0", "5.37"},
		{"5.37.9", "7.1.9", "5.37"},
		{"4.10.10", "6.7.2", "5.37"},
		{"6.7.2", "7.7.0", "7.1"},
		{"6.3.0", "9.10.0", "7.1"},
		{"7.0.2", "7.2.0", "7.1"},
		{"9.10.0", "10.5.0", "10.5.2 or later"},
		{"", "10.5.1", "10.5.2 or later"},
		{"10.11.17", "10.12.4", "11.7.3 or later"},
		{"10.11.23", "11.7.2", "11.7.3 or later"},
		{"10.11.20", "11.0.7", "11.7.3 or later"},
		{"9.10.0", "9.9.3", "newer than 9.10.0"},
	} {
		found := jump(version(t, test.from), version(t, test.to))
		if test.want == "" {
			if len(found) > 0 {
				t.Errorf("%q to %s: %v", test.from, test.to, found)
			}
			continue
		}
		if len(found) == 0 || !strings.Contains(found[0].Allowed, test.want) || found[0].Hint == "" {
			t.Errorf("%q to %s: %v, want one that allows %q", test.from, test.to, found, test.want)
		}
	}
	if found := jump(version(t, "5.30.0"), version(t, "9.10.0")); len(found) != 2 {
		t.Errorf("5.30.0 to 9.10.0: %v, want both stop-overs", found)
	}
}

func TestRulesHaveSources(t *testing.T) {
	for i, r := range Rules() {
		if r.Why == "" || !strings.HasPrefix(r.Source, "https://docs.mattermost.com/") {
			t.Errorf("row %d (%s) has no reason or source: %+v", i, r.Kind, r)
		}
	}
}

func TestPostgreSQLMinimum(t *testing.T) {
	for to, want := range map[string]int{
		"12.0.0": 15, "11.10.0": 14, "11.0.0": 14, "10.12.4": 13, "10.6.0": 13, "10.5.14": 11, "9.10.0": 11, "8.0.0": 11,
		"7.7.0": 10, "6.3.0": 10, "5.26.0": 10, "5.25.7": 0,
	} {
		if got := PostgreSQLMinimum(version(t, to)); got != want {
			t.Errorf("%s: PostgreSQL %d, want %d", to, got, want)
		}
	}
	for i, row := range postgreSQL() {
		if row.Source == "" || i > 0 && postgreSQL()[i-1].Version.Less(row.Version) {
			t.Errorf("row %d: no source, or not newest first: %+v", i, row)
		}
	}
}

func TestGlibcMinimum(t *testing.T) {
	for to, want := range map[string]string{"12.0.0": "2.34", "12.1.0": "2.34", "11.11.0": "0.0"} {
		major, minor := GlibcMinimum(version(t, to))
		if got := fmt.Sprintf("%d.%d", major, minor); got != want {
			t.Errorf("%s: glibc %s, want %s", to, got, want)
		}
	}
}

func TestRefusedSettings(t *testing.T) {
	for _, test := range []struct {
		to   string
		set  map[string]any
		want []string
	}{
		{"10.11.23", map[string]any{"TeamSettings.ExperimentalViewArchivedChannels": false}, nil},
		{"11.0.0", map[string]any{"TeamSettings.ExperimentalViewArchivedChannels": false}, []string{"TeamSettings.ExperimentalViewArchivedChannels"}},
		{"11.0.0", map[string]any{"TeamSettings.ExperimentalViewArchivedChannels": true}, nil},
		{"11.0.0", map[string]any{}, nil},
		{"12.0.0", map[string]any{"TeamSettings.ExperimentalViewArchivedChannels": false}, nil},
		{"11.7.9", map[string]any{"ExperimentalSettings.ClientSideCertEnable": "true"}, []string{"ExperimentalSettings.ClientSideCertEnable"}},
		{"11.7.9", map[string]any{"TeamSettings.ExperimentalViewArchivedChannels": "0"}, []string{"TeamSettings.ExperimentalViewArchivedChannels"}},
		{"11.7.9", map[string]any{"TeamSettings.ExperimentalViewArchivedChannels": "maybe"}, nil},
		{"11.7.9", map[string]any{"SqlSettings.DisableDatabaseSearch": true}, nil},
		{"11.7.9", map[string]any{"SqlSettings.DisableDatabaseSearch": true, "BleveSettings.EnableSearching": false}, nil},
		{"11.7.9", map[string]any{"SqlSettings.DisableDatabaseSearch": true, "BleveSettings.EnableSearching": true}, []string{"SqlSettings.DisableDatabaseSearch"}},
		{"12.0.0", map[string]any{"ImageProxySettings.ImageProxyType": "atmos/camo", "FeatureFlags.AppsEnabled": "TRUE", "FeatureFlags.MoveThreadsEnabled": true},
			[]string{"ImageProxySettings.ImageProxyType", "FeatureFlags.MoveThreadsEnabled", "FeatureFlags.AppsEnabled"}},
		{"12.0.0", map[string]any{"ImageProxySettings.ImageProxyType": "local", "FeatureFlags.AppsEnabled": "false", "FeatureFlags.MoveThreadsEnabled": func() {}}, nil},
	} {
		var got []string
		for _, p := range CheckSettings(version(t, test.to), func(key string) (any, bool) { v, ok := test.set[key]; return v, ok }) {
			got = append(got, p.Where)
			if p.Found == "" || p.Allowed == "" || p.Hint == "" {
				t.Errorf("%s: %+v does not say all", test.to, p)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s with %v: refused %v, want %v", test.to, test.set, got, test.want)
		}
	}
	for _, s := range settings() {
		if s.Source == "" || s.Fix == "" || s.Why == "" || strings.Count(s.Key, ".") != 1 {
			t.Errorf("row %s: %+v", s.Key, s)
		}
	}
}

func TestBack(t *testing.T) {
	for jump, want := range map[[2]string]string{
		{"9.10.0", "7.7.0"}:   "",
		{"10.11.4", "9.11.2"}: "",
		{"7.7.0", "7.1.9"}:    "no db downgrade",
		{"11.0.2", "10.11.4"}: "PBKDF2",
		{"11.7.4", "11.4.0"}:  "",
	} {
		from, err1 := Parse(jump[0])
		to, err2 := Parse(jump[1])
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		found := Back(from, to)
		switch {
		case (want == "") != (len(found) == 0):
			t.Errorf("%s to %s: %v", from, to, found)
		case want != "" && (!strings.Contains(found[0].Found, want) || !strings.Contains(found[0].Hint, "https://")):
			t.Errorf("%s to %s: %+v", from, to, found[0])
		}
	}
}
