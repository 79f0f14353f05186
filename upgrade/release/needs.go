package release

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"townsquare/upgrade/problem"
)

// since is a fact that holds from one version on, until the next row.
type since struct {
	Version Version
	Value   int
	Source  string
}

// postgreSQL is the oldest major version of PostgreSQL each release runs on; newest first.
func postgreSQL() []since {
	const policy = "https://docs.mattermost.com/deployment-guide/software-hardware-requirements.html#minimum-postgresql-database-support-policy"
	return []since{
		{Version{12, 0, 0}, 15, "https://docs.mattermost.com/product-overview/mattermost-v12-changelog.html (v12.0, compatibility)"},
		{Version{11, 0, 0}, 14, policy},
		{Version{10, 6, 0}, 13, notes + " (v10.6: PostgreSQL 11 and 12 are no longer supported)"},
		{Version{8, 0, 0}, 11, notes + " (v8.0)"},
		{Version{5, 26, 0}, 10, "https://docs.mattermost.com/product-overview/unsupported-legacy-releases.html (v5.26)"},
	}
}

// PostgreSQLMinimum is the oldest major version of PostgreSQL that a release runs on; 0 when the
// vendor names none we know of.
func PostgreSQLMinimum(to Version) int {
	for _, row := range postgreSQL() {
		if !to.Less(row.Version) {
			return row.Value
		}
	}
	return 0
}

// GlibcMinimum is the oldest GNU C library that a release's binaries run with; 0, 0 when the vendor
// names none. Source: v12 changelog, compatibility: the server requires glibc 2.34.
func GlibcMinimum(to Version) (major, minor int) {
	if to.Less(Version{12, 0, 0}) {
		return 0, 0
	}
	return 2, 34
}

// Setting is one configuration setting with which a release refuses to start, or loses a function.
type Setting struct {
	Key     string   // path in config.json, such as "TeamSettings.ExperimentalViewArchivedChannels"
	Refused []string // values refused, as JSON text
	With    *Setting // refused only together with this one
	Since   Version  // the first release that refuses it
	Until   Version  // the first release that ignores it again; zero: none
	Why     string   // what happens otherwise
	Fix     string   // what to do before the upgrade
	Source  string
}

// settings is the table of refused settings.
func settings() []Setting {
	const v11 = "https://docs.mattermost.com/product-overview/mattermost-v11-changelog.html (v11.0, compatibility)"
	const v12 = "https://docs.mattermost.com/product-overview/mattermost-v12-changelog.html (v12.0, compatibility)"
	return []Setting{
		{
			Key: "TeamSettings.ExperimentalViewArchivedChannels", Refused: []string{"false"},
			Since: Version{11, 0, 0}, Until: Version{12, 0, 0},
			Why: "the server does not start: hiding archived channels is no longer supported",
			Fix: "set it to true; make channels whose content must stay hidden private and remove their members", Source: v11,
		}, {
			Key: "ExperimentalSettings.ClientSideCertEnable", Refused: []string{"true"},
			Since: Version{11, 0, 0}, Until: Version{12, 0, 0},
			Why: "the server does not start: client-side certificates are no longer supported",
			Fix: "set it to false, and require client certificates in the reverse proxy if they are needed", Source: v11,
		}, {
			Key: "SqlSettings.DisableDatabaseSearch", Refused: []string{"true"},
			With:  &Setting{Key: "BleveSettings.EnableSearching", Refused: []string{"true"}},
			Since: Version{11, 0, 0},
			Why:   "Bleve is gone from 11.0 on: with the database's own search off, nothing is found any more",
			Fix:   "set SqlSettings.DisableDatabaseSearch to false", Source: v11,
		}, {
			Key: "ImageProxySettings.ImageProxyType", Refused: []string{`"atmos/camo"`},
			Since: Version{12, 0, 0},
			Why:   "the server does not start: the atmos/camo image proxy was removed",
			Fix:   "set it to \"local\", or set ImageProxySettings.Enable to false and the type to \"\"", Source: v12,
		}, {
			Key: "FeatureFlags.MoveThreadsEnabled", Refused: []string{"true"},
			Since: Version{12, 0, 0},
			Why:   "the server does not start while this feature flag is on",
			Fix:   "switch it off (MM_FEATUREFLAGS_MOVETHREADSENABLED); the Wrangler plugin moves threads", Source: v12,
		}, {
			Key: "FeatureFlags.AppsEnabled", Refused: []string{"true"},
			Since: Version{12, 0, 0},
			Why:   "the server does not start while this feature flag is on",
			Fix:   "switch it off (MM_FEATUREFLAGS_APPSENABLED)", Source: v12,
		},
	}
}

// RefusedSettings is every row that applies to a release.
func RefusedSettings(to Version) []Setting {
	return slices.DeleteFunc(settings(), func(s Setting) bool {
		return to.Less(s.Since) || !s.Until.IsZero() && !to.Less(s.Until)
	})
}

// CheckSettings tells which of a server's settings a release refuses. lookup gives the value of a
// key as encoding/json decodes it, and whether it is set at all, in config.json or by Env.
func CheckSettings(to Version, lookup func(key string) (value any, present bool)) []problem.Problem {
	var found []problem.Problem
	for _, s := range RefusedSettings(to) {
		if s.With != nil {
			if with, present := lookup(s.With.Key); !present || !s.With.refuses(with) {
				continue
			}
		}
		value, present := lookup(s.Key)
		if p, bad := s.Check(value, present); bad {
			found = append(found, p)
		}
	}
	return found
}

// Check tells whether one value is refused; value is as encoding/json decodes it, or the text of an
// environment variable.
func (s Setting) Check(value any, present bool) (problem.Problem, bool) {
	if !present || !s.refuses(value) {
		return problem.Problem{}, false
	}
	return problem.Problem{
		Where: s.Key, Found: fmt.Sprintf("%v: %s", value, s.Why), Allowed: "other than " + strings.Join(s.Refused, ", "),
		Hint: s.Fix + "; see " + s.Source,
	}, true
}

func (s Setting) refuses(value any) bool {
	text, err := json.Marshal(value)
	if err != nil {
		return false
	}
	if slices.Contains(s.Refused, string(text)) {
		return true
	}
	// An environment variable is text, and may say 1 or TRUE where JSON says true.
	word, ok := value.(string)
	if !ok {
		return false
	}
	yes, err := strconv.ParseBool(word)
	return err == nil && slices.Contains(s.Refused, strconv.FormatBool(yes))
}
