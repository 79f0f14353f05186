// Package notice reads what tells an operator of a new release: the vendor's e-mail, an entry of
// the feed of releases, the body of a webhook, or a bare version. Whoever can send such a thing is
// nobody to be trusted, so all that comes out is a list of versions and whether the words speak of
// security; what is installed is decided by the vendor's own pages alone.
package notice

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"townsquare/upgrade/release"
)

// Limits on what comes from outside. The vendor's e-mails weigh some tens of kilobytes.
const (
	maxBytes    = 1 << 20
	maxVersions = 64 // more names no release, but a history
	maxDepth    = 5  // of parts within parts, and of notices within events
	maxParts    = 50 // of an e-mail
)

// Notice is what could be read.
type Notice struct {
	Kind     Kind
	Versions []release.Version // each once, the newest first
	Security bool              // its words speak of security fixes
}

// Kind is the form in which a notice came.
type Kind string

// The kinds of notices.
const (
	Mail    Kind = "e-mail"
	Feed    Kind = "feed"
	Webhook Kind = "webhook"
	Bare    Kind = "version"
	Text    Kind = "text"
)

// ErrEmpty says that nothing came.
var ErrEmpty = errors.New("the notice is empty")

// Read reads one notice. What it names need not exist. The error is ErrEmpty, that it is too large,
// or that it claims a form that it does not keep.
func Read(r io.Reader) (Notice, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return Notice{}, fmt.Errorf("read the notice: %w", err)
	}
	if len(data) > maxBytes {
		return Notice{}, fmt.Errorf("the notice is larger than %d kB, as no notice of a release is", maxBytes>>10)
	}
	var c collector
	kind, err := c.read(data, 0)
	if err != nil {
		return Notice{}, err
	}
	slices.SortFunc(c.versions, func(a, b release.Version) int { return b.Compare(a) })
	return Notice{Kind: kind, Versions: c.versions, Security: c.security}, nil
}

// collector gathers what a notice names.
type collector struct {
	versions []release.Version
	security bool
	parts    int
}

var bare = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+$`)

// read finds out the form and reads it.
func (c *collector) read(data []byte, depth int) (Kind, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	switch {
	case depth > maxDepth:
		return "", errors.New("the notice holds a notice that holds a notice, and so on")
	case len(data) == 0:
		return "", ErrEmpty
	case bare.Match(data):
		c.text(string(data))
		return Bare, nil
	case data[0] == '{' || data[0] == '[':
		return Webhook, c.event(data, depth)
	case isFeed(data):
		return Feed, c.feed(data)
	case isMail(data):
		return Mail, c.mail(data, depth)
	}
	c.text(plain(string(data)))
	return Text, nil
}

// number finds what could be a version; text looks at what is around it.
var number = regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+`)

// candidate follows the number of what is no release.
var candidate = regexp.MustCompile(`(?i)^(-|~|\.)?(rc|beta|alpha|dev|snapshot)`)

// other is written before the number of something that is not the server.
var other = regexp.MustCompile(`(?i)\b(desktop|mobile|android|ios|iphone|calls|playbooks|boards|agents|copilot|plugin|operator|helm|proxy|postgresql|postgres|mysql|go|golang|electron|ubuntu|debian|nginx)( app| apps| server| plugin| chart)?( version| release)?[ :]*v?$`)

// safety is what speaks of security fixes; the word alone is in the footer of every newsletter.
var safety = regexp.MustCompile(`(?i)security[ -](fix|update|release|patch|issue|vulnerab|bulletin|advisor)|severity|vulnerabilit|\bCVE-[0-9]{4}-[0-9]+|\bMMSA-[0-9]{4}-[0-9]+`)

// text takes the versions and the sense of some words.
func (c *collector) text(words string) {
	c.security = c.security || safety.MatchString(words)
	for _, at := range number.FindAllStringIndex(words, -1) {
		before, after := words[:at[0]], words[at[1]:]
		before = strings.TrimSuffix(strings.TrimSuffix(before, "v"), "V")
		if len(before) > 60 {
			before = before[len(before)-60:]
		}
		if joined(before, after) || candidate.MatchString(after) || other.MatchString(strings.ReplaceAll(before, "\n", " ")) {
			continue
		}
		v, err := release.Parse(words[at[0]:at[1]])
		if err == nil && !slices.Contains(c.versions, v) && len(c.versions) < maxVersions {
			c.versions = append(c.versions, v)
		}
	}
}

// joined tells whether the number is a piece of a longer word, such as an address or a build.
func joined(before, after string) bool {
	word := func(b byte) bool {
		return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_'
	}
	if before != "" {
		if last := before[len(before)-1]; word(last) || last == '.' {
			return true
		}
	}
	if after == "" {
		return false
	}
	return word(after[0]) || len(after) > 1 && after[0] == '.' && after[1] >= '0' && after[1] <= '9'
}
