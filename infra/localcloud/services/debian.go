package services

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"townsquare/infra/localcloud/base"
)

// debianProxy lets machines reach the Debian archive that this computer uses,
// and nothing else. Packages never change once published, so they are kept;
// indexes are asked for every time, and the last copy answers when the archive
// cannot be reached.
type debianProxy struct {
	schemes map[string]string // how each allowed host is reached
	cache   string
	client  *http.Client
}

func newDebianProxy(mirror base.Mirror, cache string) (*debianProxy, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		MaxIdleConnsPerHost:   8,
		ResponseHeaderTimeout: time.Minute,
	}
	if mirror.Proxy != "" {
		through, err := url.Parse(mirror.Proxy)
		if err != nil {
			return nil, fmt.Errorf("apt's proxy %q: %w", mirror.Proxy, err)
		}
		transport.Proxy = http.ProxyURL(through)
	}
	return &debianProxy{schemes: mirror.Schemes(), cache: cache, client: &http.Client{
		Transport: transport,
		// apt follows redirects itself, through here again.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (p *debianProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !r.URL.IsAbs() || r.URL.Scheme != "http" || p.schemes[r.URL.Host] == "" {
		http.Error(w, "this proxy reaches only "+strings.Join(slices.Sorted(maps.Keys(p.schemes)), ", "), http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	kept := p.path(r.URL)
	if immutable(r.URL.Path) {
		if serveKept(w, r, kept) {
			return
		}
	}
	if err := p.forward(w, r, kept); err != nil && !serveKept(w, r, kept) {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

// immutable says that a path will never name other bytes: packages, and
// indexes that are named by their own hash.
func immutable(p string) bool {
	return strings.Contains(p, "/pool/") || strings.Contains(p, "/by-hash/")
}

func (p *debianProxy) path(u *url.URL) string {
	// Clean with a leading slash keeps dots from climbing out.
	return filepath.Join(p.cache, filepath.FromSlash(path.Clean("/"+u.Host+"/"+u.Path)))
}

func serveKept(w http.ResponseWriter, r *http.Request, kept string) bool {
	file, err := os.Open(kept)
	if err != nil {
		return false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	http.ServeContent(w, r, "", info.ModTime(), file)
	return true
}

// forward fetches from the archive and keeps what came whole. An error means
// that nothing was sent to the machine yet.
func (p *debianProxy) forward(w http.ResponseWriter, r *http.Request, kept string) error {
	upstream := *r.URL
	upstream.Scheme = p.schemes[r.URL.Host]
	request, err := http.NewRequestWithContext(r.Context(), r.Method, upstream.String(), nil)
	if err != nil {
		return err
	}
	for _, name := range []string{"Range", "If-Modified-Since", "If-Range", "Cache-Control", "User-Agent"} {
		if v := r.Header.Get(name); v != "" {
			request.Header.Set(name, v)
		}
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 500 {
		return fmt.Errorf("archive answered %s", response.Status)
	}
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Range", "Last-Modified", "Location", "Accept-Ranges", "Date"} {
		if v := response.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(response.StatusCode)
	if r.Method == http.MethodHead {
		return nil
	}
	var sink io.Writer = w
	var keep *os.File
	if response.StatusCode == http.StatusOK && os.MkdirAll(filepath.Dir(kept), 0o755) == nil {
		if keep, err = os.CreateTemp(filepath.Dir(kept), ".part-"); err == nil {
			sink = io.MultiWriter(w, keep)
		}
	}
	n, copyErr := io.Copy(sink, response.Body)
	if keep == nil {
		return nil
	}
	defer os.Remove(keep.Name())
	closeErr := errors.Join(keep.Chmod(0o644), keep.Close())
	if copyErr != nil || closeErr != nil || response.ContentLength >= 0 && n != response.ContentLength {
		return nil // the machine's apt notices, and asks again
	}
	if modified, err := http.ParseTime(response.Header.Get("Last-Modified")); err == nil {
		_ = os.Chtimes(keep.Name(), modified, modified)
	}
	_ = os.Rename(keep.Name(), kept)
	return nil
}
