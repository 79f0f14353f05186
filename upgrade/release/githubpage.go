package release

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

const pageGitHub = "GitHub's list of releases"

// published is what GitHub says of one release.
type published struct {
	At       time.Time
	Security bool // the notes speak of security
}

// parseGitHub reads GitHub's list of releases, one at a time so that memory stays small. Drafts,
// pre-releases and tags that are no server release ("server/public/v0.1.4") are passed over.
func parseGitHub(source string, body io.Reader) (map[Version]published, error) {
	shape := func(expected, found string) error {
		return &ShapeError{Page: pageGitHub, URL: source, Expected: expected, Found: found}
	}
	d := json.NewDecoder(body)
	if t, err := d.Token(); err != nil {
		return nil, shape("JSON", err.Error())
	} else if t != json.Delim('[') {
		return nil, shape("a JSON array", fmt.Sprintf("%.40q", fmt.Sprint(t)))
	}
	found := map[Version]published{}
	for d.More() {
		var r struct {
			Tag        string    `json:"tag_name"`
			At         time.Time `json:"published_at"`
			Draft      bool      `json:"draft"`
			Prerelease bool      `json:"prerelease"`
			Body       string    `json:"body"`
		}
		if err := d.Decode(&r); err != nil {
			return nil, shape("releases with tag_name and published_at", err.Error())
		}
		v, err := Parse(r.Tag)
		if err != nil || r.Draft || r.Prerelease || r.At.IsZero() {
			continue
		}
		found[v] = published{At: r.At, Security: strings.Contains(strings.ToLower(r.Body), "security")}
	}
	if _, err := d.Token(); err != nil {
		return nil, shape("an end of the JSON array", err.Error())
	}
	if len(found) == 0 {
		return nil, shape("releases such as v11.7.9", "none")
	}
	return found, nil
}
