package notice

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
)

// vendor is the repository whose releases are meant.
const vendor = "mattermost/mattermost"

// published is a release as GitHub describes it.
type published struct {
	Tag        string `json:"tag_name"`
	Draft      bool   `json:"draft"`
	Prerelease bool   `json:"prerelease"`
	Body       string `json:"body"`
}

// event is what a webhook brings: a release event of GitHub's, the release alone, or an event of
// this project's own workflows, with the notice in its payload or inputs.
type event struct {
	published
	Release    *published `json:"release"`
	Repository struct {
		Name string `json:"full_name"`
	} `json:"repository"`
	Payload json.RawMessage `json:"client_payload"` // of repository_dispatch
	Inputs  json.RawMessage `json:"inputs"`         // of workflow_dispatch
	Version string          `json:"version"`
	Notice  string          `json:"notice"` // a whole notice, such as an e-mail
}

// event reads a webhook's body, or a list of releases.
func (c *collector) event(data []byte, depth int) error {
	if data[0] == '[' {
		var list []published
		if err := json.Unmarshal(data, &list); err != nil {
			return fmt.Errorf("read the notice as a list of releases: %w", err)
		}
		for _, r := range list {
			c.release(r)
		}
		return nil
	}
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("read the notice as JSON: %w", err)
	}
	if e.Release != nil {
		if e.Repository.Name == "" || strings.EqualFold(e.Repository.Name, vendor) { // another project's releases are none of ours
			c.release(*e.Release)
		}
		return nil
	}
	c.release(e.published)
	c.text(e.Version)
	for _, inner := range [][]byte{e.Payload, e.Inputs, []byte(e.Notice)} {
		if inner = bytes.TrimSpace(inner); len(inner) == 0 || bytes.Equal(inner, []byte("null")) {
			continue
		}
		if _, err := c.read(inner, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// release takes the version from the tag alone: the notes of a release name many others.
func (c *collector) release(r published) {
	if r.Draft || r.Prerelease || !bare.MatchString(r.Tag) { // such as server/public/v0.1.4
		return
	}
	c.text(r.Tag)
	c.security = c.security || safety.MatchString(r.Body)
}

// entry is one release of an Atom feed.
type entry struct {
	Title   string `xml:"title"`
	Content string `xml:"content"`
	Summary string `xml:"summary"`
}

func isFeed(data []byte) bool {
	head := strings.ToLower(string(data[:min(len(data), 512)]))
	return strings.HasPrefix(head, "<") && (strings.Contains(head, "<feed") || strings.Contains(head, "<entry"))
}

// feed reads a feed, or one entry of it. The version is in the title.
func (c *collector) feed(data []byte) error {
	var f struct {
		XMLName xml.Name
		entry
		Entries []entry `xml:"entry"`
	}
	if err := xml.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("read the notice as a feed: %w", err)
	}
	if f.XMLName.Local == "entry" {
		f.Entries = []entry{f.entry}
	}
	for _, e := range f.Entries {
		c.text(e.Title)
		c.security = c.security || safety.MatchString(plain(e.Content+" "+e.Summary))
	}
	return nil
}
