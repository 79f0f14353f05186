package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// page is one page as the server has it now. keep stores it for the next conditional request; it is
// called once the page was understood, so that a broken page is never answered from the cache.
type page struct {
	body []byte
	keep func()
}

// pageNote is the file beside a cached body; the hash tells a damaged or half-written body.
type pageNote struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	SHA256       string `json:"sha256"`
}

// page gets a page of at most limit bytes, from the cache when the server says it is unchanged.
// Faults of the network are tried again; the error then is a *NetworkError or a *StatusError.
func (c *Client) page(ctx context.Context, address string, limit int64) (page, error) {
	pauses := c.retries()
	for n := 1; ; n++ {
		p, err := c.try(ctx, address, limit)
		switch {
		case err == nil:
			return p, nil
		case ctx.Err() != nil:
			return page{}, context.Cause(ctx)
		case !transient(err):
			return page{}, err
		case n == attempts:
			return page{}, exhausted(address, n, err)
		}
		// A limit on questions is not lifted within a minute: asking again only uses it up.
		if status := new(StatusError); errors.As(err, &status) && status.Code == http.StatusTooManyRequests && status.After == 0 {
			return page{}, err
		}
		if err := c.pause(ctx, pauses, err); err != nil {
			return page{}, err
		}
	}
}

// exhausted is the error after the last attempt.
func exhausted(address string, n int, err error) error {
	if status := new(StatusError); errors.As(err, &status) {
		return err
	}
	return &NetworkError{URL: address, Attempts: n, Err: err}
}

func (c *Client) try(ctx context.Context, address string, limit int64) (page, error) {
	ctx, beat, stop := c.watch(ctx)
	defer stop()
	req, err := c.request(ctx, address)
	if err != nil {
		return page{}, err
	}
	have, note, cacheErr := c.load(address, limit)
	if cacheErr == nil {
		if note.ETag != "" {
			req.Header.Set("If-None-Match", note.ETag)
		} else if note.LastModified != "" {
			req.Header.Set("If-Modified-Since", note.LastModified)
		}
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return page{}, cause(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && cacheErr == nil:
		return page{body: have, keep: func() {}}, nil
	case resp.StatusCode != http.StatusOK:
		return page{}, statusError(resp, address)
	}
	body, err := io.ReadAll(io.LimitReader(alive{resp.Body, beat}, limit+1))
	if err != nil {
		return page{}, cause(ctx, err)
	}
	if int64(len(body)) > limit {
		return page{}, &SizeError{URL: address, Limit: limit}
	}
	note = pageNote{URL: address, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
	return page{body: body, keep: func() { c.store(note, body) }}, nil
}

// cached is the last copy that was understood, however old.
func (c *Client) cached(address string, limit int64) (page, error) {
	body, _, err := c.load(address, limit)
	return page{body: body, keep: func() {}}, err
}

// names gives the two files a page is cached in.
func (c *Client) names(address string) (body, note string) {
	sum := sha256.Sum256([]byte(address))
	base := filepath.Join(c.CacheDir, "pages", hex.EncodeToString(sum[:8]))
	return base + ".body", base + ".json"
}

// load reads a cached page. A copy that is damaged in any way is removed and counts as absent.
func (c *Client) load(address string, limit int64) ([]byte, pageNote, error) {
	var note pageNote
	if c.CacheDir == "" {
		return nil, note, os.ErrNotExist
	}
	bodyName, noteName := c.names(address)
	body, err := read(bodyName, limit)
	if err == nil {
		var text []byte
		if text, err = read(noteName, 64<<10); err == nil {
			err = json.Unmarshal(text, &note)
		}
	}
	sum := sha256.Sum256(body)
	if err == nil && (note.URL != address || note.SHA256 != hex.EncodeToString(sum[:])) {
		err = fmt.Errorf("cached copy of %s is damaged", address)
	}
	if err != nil {
		os.Remove(bodyName)
		os.Remove(noteName)
		return nil, pageNote{}, err
	}
	return body, note, nil
}

// read reads a file of at most limit bytes.
func read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(f, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return b.Bytes(), err
}

// store keeps a page with what the next request needs. The cache only saves time and the vendor's
// bandwidth, so a disk that takes no copy is no error here: the work itself will find it full.
func (c *Client) store(note pageNote, body []byte) {
	bodyName, noteName := c.names(note.URL)
	if c.CacheDir == "" || os.MkdirAll(filepath.Dir(bodyName), 0o700) != nil {
		return
	}
	sum := sha256.Sum256(body)
	note.SHA256 = hex.EncodeToString(sum[:])
	text, err := json.Marshal(note)
	if err != nil {
		return
	}
	if renameio.WriteFile(bodyName, body, 0o600) == nil {
		_ = renameio.WriteFile(noteName, text, 0o600) // a body without its note is discarded by load
	}
}
