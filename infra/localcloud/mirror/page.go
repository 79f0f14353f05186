package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// textContent is a page: its ETag is that of its text, so that a page changed by a fault is a changed page.
func textContent(contentType string, text []byte, modified time.Time) content {
	sum := sha256.Sum256(text)
	return content{
		contentType: contentType, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, modified: modified,
		body: bytes.NewReader(text),
	}
}

// page serves everything that is no archive.
func (m *Mirror) page(c catalogue, host string, r *http.Request, faults []Fault) (content, error) {
	shape := false
	c.hashes = map[string]string{}
	for _, f := range faults {
		switch f.Kind {
		case Shape:
			shape = true
		case TBD:
			c.hashes[f.Version] = "TBD"
		case WrongHash:
			wrong := sha256.Sum256([]byte("wrong"))
			c.hashes[f.Version] = hex.EncodeToString(wrong[:])
		}
	}
	// The raw files of the documentation come without Last-Modified; so does the API.
	var unknown time.Time
	switch host + r.URL.Path {
	case hostDocs + pathArchive:
		text := c.archivePage()
		if shape {
			text = otherArchiveShape(text)
		}
		return textContent("text/plain; charset=utf-8", []byte(text), unknown), nil
	case hostDocs + pathPolicy:
		text := c.policyPage()
		if shape {
			text = otherPolicyShape(text)
		}
		return textContent("text/plain; charset=utf-8", []byte(text), unknown), nil
	case hostAPI + pathGitHub:
		text, err := c.gitHub(r, shape)
		what := textContent("application/json; charset=utf-8", text, unknown)
		what.etag = "W/" + what.etag // as GitHub's are
		return what, err
	case hostAPI + pathFeed:
		text, err := c.atom()
		if shape {
			text = []byte(`<?xml version="1.0"?><rss version="2.0"><channel><title>Releases</title></channel></rss>`)
		}
		return textContent("application/atom+xml; charset=utf-8", text, c.newestDate()), err
	case hostPackages + pathKey:
		return m.key(faults)
	}
	return content{}, errNotFound
}

// gitHub is the page of the API that r asks for.
func (c catalogue) gitHub(r *http.Request, otherShape bool) ([]byte, error) {
	number := func(name string, usual, most int) int {
		n, err := strconv.Atoi(r.URL.Query().Get(name))
		if err != nil || n < 1 {
			return usual
		}
		return min(n, most)
	}
	text, _, err := c.gitHubPage(number("page", 1, 1000), number("per_page", 30, 100))
	if otherShape {
		text = fmt.Appendf(nil, `{"data":{"releases":%s}}`, text)
	}
	return text, err
}

// linkHeader is what GitHub says about the pages around the one that r asks for.
func (c catalogue) linkHeader(r *http.Request) string {
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || page < 1 {
		page = 1
	}
	perPage, err := strconv.Atoi(r.URL.Query().Get("per_page"))
	if err != nil || perPage < 1 {
		perPage = 30
	}
	if _, more, err := c.gitHubPage(page, perPage); err != nil || !more {
		return ""
	}
	return fmt.Sprintf(`<https://%s%s?page=%d&per_page=%d>; rel="next"`, hostAPI, pathGitHub, page+1, perPage)
}

// otherArchiveShape has the same facts in a table, as a redesign of the page might.
func otherArchiveShape(page string) string {
	return strings.NewReplacer(
		"- SHA-256 Checksum: `", "| Checksum | ", "- GPG Signature: ", "| Signature | ", "- `https", "| Download | https",
		" Edition v", " Edition, release ", "TabItem", "Tab",
	).Replace(page)
}

func otherPolicyShape(page string) string {
	return strings.NewReplacer("```mermaid", "```", "gantt", "", ":active", "", "| **Release** | **Release Type** |", "| **Type** | **Version** |",
		"| v", "| Version ").Replace(page)
}

// answerWith gives the answer of a fault that does not depend on what was asked for, if there is one.
func answerWith(w http.ResponseWriter, r *http.Request, faults []Fault) bool {
	for _, f := range faults {
		switch f.Kind {
		case Stall:
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		case Status:
			http.Error(w, http.StatusText(f.Status), f.Status)
			return true
		case HTML:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><p>Please sign in.</p></body></html>\n")
			return true
		case RateLimit:
			h := w.Header()
			h.Set("Content-Type", "application/json; charset=utf-8")
			h.Set("X-RateLimit-Limit", "60")
			h.Set("X-RateLimit-Remaining", "0")
			h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(40*time.Minute).Unix(), 10))
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"API rate limit exceeded","documentation_url":"https://`+hostAPI+`/rate-limiting"}`)
			return true
		}
	}
	return false
}
