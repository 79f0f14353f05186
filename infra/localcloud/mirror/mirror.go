package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"townsquare/infra/localcloud/build"
)

// Files in a mirror's directory for whoever uses it, beside its settings.
const (
	FingerprintFile = "fingerprint"    // of the signing key: what releases.fingerprint of the stack is set to
	RequestsFile    = "requests.jsonl" // see Request
)

// Mirror answers for the four hosts. What it publishes, and what goes wrong, are the Settings in its directory.
type Mirror struct {
	dir  string
	keys string // the directory of the keys
	now  func() time.Time

	mu   sync.Mutex
	used map[int]int // how often each fault has happened, by its ID
}

// New opens the mirror whose settings are in dir, which it makes if needed, and writes the key's fingerprint there.
// It builds nothing but the test keys, which takes a second, once per cache. What is published but gone from the
// cache is answered with 503 and what to type.
func New(dir string) (*Mirror, error) {
	return open(dir, build.NewCache(build.NewProgress(os.Stderr)))
}

func open(dir string, cache *build.Cache) (*Mirror, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keys, err := cache.Get(context.Background(), keyEntry())
	if err != nil {
		return nil, err
	}
	fingerprint, err := os.ReadFile(filepath.Join(keys, keyFingerprint))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, FingerprintFile), fingerprint, 0o644); err != nil {
		return nil, err
	}
	return &Mirror{dir: dir, keys: keys, now: time.Now, used: map[int]int{}}, nil
}

// ServeHTTP finds what is asked for, lets the faults of its path happen, and notes the request.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counter := &countingWriter{ResponseWriter: w}
	// Deferred, as a connection that breaks on purpose ends in a panic.
	defer func() { m.note(r, counter.status, counter.bytes) }()
	settings, err := ReadSettings(m.dir)
	if err != nil {
		http.Error(counter, err.Error(), http.StatusInternalServerError)
		return
	}
	faults := m.happening(settings.Faults, r.URL.Path)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(counter, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
		return
	}
	if answerWith(counter, r, faults) {
		return
	}
	c, err := settings.catalogue(m.now())
	if err != nil {
		http.Error(counter, err.Error(), http.StatusServiceUnavailable)
		return
	}
	what, err := m.find(c, r, faults)
	if errors.Is(err, errNotFound) {
		http.NotFound(counter, r)
		return
	}
	if err != nil {
		http.Error(counter, err.Error(), http.StatusInternalServerError)
		return
	}
	if what.closer != nil {
		defer what.closer.Close()
	}
	body := what.body
	for _, f := range faults {
		switch f.Kind {
		case Corrupt:
			body = &corruptReader{ReadSeeker: body, at: f.Bytes}
		case Truncated:
			body = &shortReader{ReadSeeker: body, size: f.Bytes}
		}
	}
	h := counter.Header()
	h.Set("Content-Type", what.contentType)
	h.Set("ETag", what.etag)
	if next := c.linkHeader(r); next != "" && r.URL.Path == pathGitHub {
		h.Set("Link", next)
	}
	http.ServeContent(impede(counter, r, faults), r, "", what.modified, body)
}

// happening are the faults of path that are to happen now. It counts them.
func (m *Mirror) happening(all []Fault, path string) []Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Fault
	for _, f := range all {
		if f.Path != path || f.Times > 0 && m.used[f.ID] >= f.Times {
			continue
		}
		m.used[f.ID]++
		out = append(out, f)
	}
	return out
}

var errNotFound = errors.New("not found")

// content is something that can be served.
type content struct {
	contentType string
	etag        string // with its quotes
	modified    time.Time
	body        io.ReadSeeker
	closer      io.Closer // nil: nothing to close
}

// find returns what r asks for, changed by the faults that change content.
func (m *Mirror) find(c catalogue, r *http.Request, faults []Fault) (content, error) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	switch host {
	case hostReleases:
		return m.release(c, r.URL.Path, faults)
	case hostDocs, hostAPI, hostPackages:
		return m.page(c, host, r, faults)
	}
	return content{}, errNotFound
}

// release serves /X/mattermost-team-X-linux-amd64.tar.gz and the signature beside it.
func (m *Mirror) release(c catalogue, path string, faults []Fault) (content, error) {
	for _, p := range c.packages {
		archive := filepath.Join(p.Dir, p.File)
		switch path {
		case p.path():
			f, err := os.Open(archive)
			if err != nil {
				return content{}, err
			}
			return content{"application/x-gzip", `"` + p.SHA256[:32] + `"`, p.Date, f, f}, nil
		case p.path() + signatureSuffix:
			text, err := os.ReadFile(archive + signatureSuffix)
			for _, f := range faults {
				switch f.Kind {
				case WrongSignature:
					text, err = os.ReadFile(archive + otherSignatureSuffix)
				case NoSignature:
					text = []byte("this is no signature\n")
				}
			}
			return textContent("application/pgp-signature", text, p.Date), err
		}
	}
	return content{}, errNotFound
}

// key serves the vendor's signing key, armored.
func (m *Mirror) key(faults []Fault) (content, error) {
	text, err := os.ReadFile(filepath.Join(m.keys, keyPublic))
	for _, f := range faults {
		switch f.Kind {
		case ExpiredKey:
			text, err = os.ReadFile(filepath.Join(m.keys, keyExpired))
		case WrongKey:
			text, err = otherPublicKey(m.keys)
		}
	}
	return textContent("application/pgp-keys", text, keyCreated), err
}

func otherPublicKey(keys string) ([]byte, error) {
	other, err := signer(keys, keyOther)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	if err := writePublic(&out, other); err != nil {
		return nil, fmt.Errorf("write another key: %w", err)
	}
	return []byte(out.String()), nil
}
