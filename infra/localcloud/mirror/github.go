package mirror

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// gitHubRelease has the fields of GitHub's "list releases" that mean something for a release without assets: the
// vendor's archives are not on GitHub.
type gitHubRelease struct {
	URL             string       `json:"url"`
	AssetsURL       string       `json:"assets_url"`
	HTMLURL         string       `json:"html_url"`
	ID              int64        `json:"id"`
	Author          gitHubAuthor `json:"author"`
	NodeID          string       `json:"node_id"`
	TagName         string       `json:"tag_name"`
	TargetCommitish string       `json:"target_commitish"`
	Name            string       `json:"name"`
	Draft           bool         `json:"draft"`
	Immutable       bool         `json:"immutable"`
	Prerelease      bool         `json:"prerelease"`
	CreatedAt       time.Time    `json:"created_at"`
	UpdatedAt       time.Time    `json:"updated_at"`
	PublishedAt     time.Time    `json:"published_at"`
	Assets          []struct{}   `json:"assets"`
	TarballURL      string       `json:"tarball_url"`
	ZipballURL      string       `json:"zipball_url"`
	Body            string       `json:"body"`
}

type gitHubAuthor struct {
	Login string `json:"login"`
	ID    int64  `json:"id"`
	Type  string `json:"type"`
}

// gitHubReleases is every published version, newest first, as GitHub's API lists them.
func (c catalogue) gitHubReleases() []gitHubRelease {
	list := []gitHubRelease{}
	for _, p := range c.published(Team) {
		id := int64(crc32.ChecksumIEEE([]byte(p.Number)))
		api := "https://" + hostAPI + "/repos/mattermost/mattermost"
		list = append(list, gitHubRelease{
			URL:       fmt.Sprintf("%s/releases/%d", api, id),
			AssetsURL: fmt.Sprintf("%s/releases/%d/assets", api, id),
			HTMLURL:   "https://" + hostAPI + "/mattermost/mattermost/releases/tag/v" + p.Number,
			ID:        id, NodeID: "RE_" + strconv.FormatInt(id, 36),
			Author:  gitHubAuthor{Login: "release-bot", ID: 1, Type: "Bot"},
			TagName: "v" + p.Number, TargetCommitish: "release-" + minorOf(p.Number), Name: "v" + p.Number,
			CreatedAt: p.Date, UpdatedAt: p.Date, PublishedAt: p.Date, Assets: []struct{}{},
			TarballURL: api + "/tarball/v" + p.Number, ZipballURL: api + "/zipball/v" + p.Number,
			Body: notes(p.Number),
		})
	}
	return list
}

// notes says, as the vendor's do, whether a release is a patch release with security fixes.
func notes(number string) string {
	if strings.HasSuffix(number, ".0") {
		return "Mattermost Platform Release " + number + " contains new features and bug fixes."
	}
	return "Mattermost Platform Patch Release " + number + " contains a medium severity level security fix."
}

// gitHubPage is one page of gitHubReleases, and whether there is another.
func (c catalogue) gitHubPage(page, perPage int) (text []byte, more bool, err error) {
	all := c.gitHubReleases()
	from := min((page-1)*perPage, len(all))
	to := min(from+perPage, len(all))
	text, err = json.Marshal(all[from:to])
	return text, to < len(all), err
}

type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Links   []atomLink  `xml:"link"`
	Title   string      `xml:"title"`
	Updated time.Time   `xml:"updated"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Type string `xml:"type,attr"`
	Rel  string `xml:"rel,attr"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID      string    `xml:"id"`
	Updated time.Time `xml:"updated"`
	Link    atomLink  `xml:"link"`
	Title   string    `xml:"title"`
	Content atomText  `xml:"content"`
	Author  string    `xml:"author>name"`
}

type atomText struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// atom is the feed of releases on GitHub's site: the ten newest.
func (c catalogue) atom() ([]byte, error) {
	const repository = "https://" + hostAPI + "/mattermost/mattermost/releases"
	feed := atomFeed{
		ID: "tag:" + hostAPI + ",2008:" + repository, Title: "Release notes from mattermost", Updated: c.newestDate(),
		Links: []atomLink{
			{Type: "text/html", Rel: "alternate", Href: repository},
			{Type: "application/atom+xml", Rel: "self", Href: repository + ".atom"},
		},
	}
	for _, r := range c.gitHubReleases()[:min(10, len(c.published(Team)))] {
		feed.Entries = append(feed.Entries, atomEntry{
			ID: "tag:" + hostAPI + ",2008:Repository/1/" + r.TagName, Updated: r.PublishedAt, Title: r.Name,
			Link:    atomLink{Type: "text/html", Rel: "alternate", Href: r.HTMLURL},
			Content: atomText{Type: "html", Text: "<p>" + r.Body + "</p>"}, Author: r.Author.Login,
		})
	}
	text, err := xml.MarshalIndent(feed, "", "  ")
	return append([]byte(xml.Header), text...), err
}
