package release

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const someTags = `[{"tag_name": "v9.10.0", "published_at": "2024-07-16T00:00:00Z", "body": "security"}]`

// oldPolicy names only what is out of support, so that the tests do not depend on today's date.
const oldPolicy = "```mermaid\ngantt\n v9.10 : 2024-07-16, 2024-10-15\n v9.5 Extended Support : 2024-02-16, 2024-11-15\n```\n"

// newCatalog is a vendor whose pages list 9.10.0 and 9.5.14 (an ESR).
func newCatalog(t *testing.T) (*vendor, *Client) {
	v := newVendor(t)
	v.files["/archive.mdx"] = pageOf(listed("9.5.14", Team, true), listed("9.10.0", Team, false))
	v.files["/policy.mdx"] = []byte(oldPolicy)
	v.files["/releases"] = []byte(someTags)
	return v, v.client(t)
}

func TestCatalog(t *testing.T) {
	_, c := newCatalog(t)
	cat := must(c.Catalog(t.Context()))(t)
	if len(cat.Releases) != 2 || cat.Releases[0].Version != version(t, "9.10.0") {
		t.Fatalf("releases, newest first: %+v", cat.Releases)
	}
	r, ok := cat.Find(version(t, "9.10.0"), Team, AMD64)
	if !ok || r.EndOfLife.Format(time.DateOnly) != "2024-10-15" || !r.Security || r.Published.IsZero() {
		t.Errorf("9.10.0: %+v", r)
	}
	arm, ok := cat.Find(version(t, "9.10.0"), Team, ARM64)
	if !ok || arm.Name() != "mattermost-team-9.10.0-linux-arm64.tar.gz" || arm.SHA256 != "" || arm.Unusable != "" ||
		!strings.HasSuffix(arm.URL, "/9.10.0/"+arm.Name()) || arm.SignatureURL != arm.URL+".sig" {
		t.Errorf("9.10.0 for arm64: %+v", arm)
	}
	if r.Arch != AMD64 || r.SHA256 == "" {
		t.Errorf("Find changed what it found before: %+v", r)
	}
	if _, ok := cat.Find(version(t, "9.10.0"), Enterprise, AMD64); ok {
		t.Error("found an edition that is not listed")
	}
}

// The vendor's own pages, as of August 2026, agree with each other.
func TestCatalogOfTheVendor(t *testing.T) {
	cat := &Catalog{Releases: must(parseArchive("a", vendorEntries, must(os.ReadFile("testdata/version-archive.mdx"))(t)))(t)}
	minors := must(parsePolicy("p", vendorMinors, must(os.ReadFile("testdata/release-policy.mdx"))(t)))(t)
	tags := map[Version]published{version(t, "11.7.10"): {At: time.Date(2026, 8, 20, 0, 0, 0, 0, time.UTC)}}
	now := time.Date(2026, 9, 20, 12, 0, 0, 0, time.UTC)
	if err := cat.crossCheck("p", minors, tags, now); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"11.7.10 was published on GitHub on 2026-08-20; the version archive still lists 11.7.9",
		"the release policy lists 11.11 as released on 2026-09-16; the version archive does not have it yet",
	}
	if !slices.Equal(cat.Warnings, want) {
		t.Errorf("warnings %q, want %q", cat.Warnings, want)
	}
}

func TestCatalogContradictions(t *testing.T) {
	supported := listed("11.7.9", Team, false) // the policy calls 11.7 an ESR until 2027-05-15
	old := listed("9.5.14", Team, false)       // and 9.5 one until 2024-11-15
	minors := must(parsePolicy("p", 1, must(os.ReadFile("testdata/release-policy.mdx"))(t)))(t)
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

	cat := &Catalog{Releases: []Release{supported}}
	err := cat.crossCheck("https://p", minors, nil, now)
	if shape := new(ShapeError); !errors.As(err, &shape) || shape.Line == 0 || !strings.Contains(err.Error(), "11.7") {
		t.Errorf("a supported release: error %v, want a ShapeError with a line", err)
	}
	cat = &Catalog{Releases: []Release{old}}
	if err := cat.crossCheck("https://p", minors, nil, now); err != nil {
		t.Errorf("a release out of support: %v", err)
	}
	if !slices.ContainsFunc(cat.Warnings, func(w string) bool { return strings.Contains(w, "disagree on whether 9.5") }) {
		t.Errorf("no warning of the old contradiction: %q", cat.Warnings)
	}
}

// Each page is asked for once with a condition, and answered from the copy on disk.
func TestCatalogConditional(t *testing.T) {
	v, c := newCatalog(t)
	first := must(c.Catalog(t.Context()))(t)
	second := must(c.Catalog(t.Context()))(t)
	if len(first.Releases) != len(second.Releases) {
		t.Errorf("%d releases, then %d", len(first.Releases), len(second.Releases))
	}
	for _, path := range []string{"/archive.mdx", "/policy.mdx", "/releases"} {
		asked := v.asked(path)
		if len(asked) != 2 || asked[0].Header.Get("If-None-Match") != "" || asked[1].Header.Get("If-None-Match") == "" {
			t.Errorf("%s: %d requests, the second must carry an ETag", path, len(asked))
		}
		if asked[0].UserAgent() != "townsquare-upgrade" {
			t.Errorf("user agent %q", asked[0].UserAgent())
		}
	}
}

func TestCatalogDamagedCache(t *testing.T) {
	for name, damage := range map[string]func(body, note string) error{
		"body changed":     func(body, _ string) error { return os.WriteFile(body, []byte("garbage"), 0o600) },
		"body gone":        func(body, _ string) error { return os.Remove(body) },
		"body too large":   func(body, _ string) error { return os.Truncate(body, archiveLimit+1) },
		"note cut off":     func(_, note string) error { return os.Truncate(note, 10) },
		"note of another":  func(_, note string) error { return os.WriteFile(note, []byte(`{"url":"https://y"}`), 0o600) },
		"note a directory": func(_, note string) error { return errors.Join(os.Remove(note), os.Mkdir(note, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			v, c := newCatalog(t)
			must(c.Catalog(t.Context()))(t)
			if err := damage(c.names(c.Sources.Archive)); err != nil {
				t.Fatal(err)
			}
			cat := must(c.Catalog(t.Context()))(t)
			if len(cat.Releases) != 2 {
				t.Errorf("%d releases", len(cat.Releases))
			}
			if asked := v.asked("/archive.mdx"); len(asked) != 2 || asked[1].Header.Get("If-None-Match") != "" {
				t.Error("the damaged copy was used for a conditional request")
			}
		})
	}
}

// A page that was not understood is not kept: once it is right again, it is read again.
func TestCatalogBrokenPageIsNotKept(t *testing.T) {
	v, c := newCatalog(t)
	v.fault("/archive.mdx", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"same"`)
		fmt.Fprint(w, "<html>down for maintenance</html>")
	})
	_, err := c.Catalog(t.Context())
	if shape := new(ShapeError); !errors.As(err, &shape) {
		t.Fatalf("error %v, want a ShapeError", err)
	}
	v.fault("/archive.mdx", nil)
	must(c.Catalog(t.Context()))(t)
	if asked := v.asked("/archive.mdx"); asked[len(asked)-1].Header.Get("If-None-Match") != "" {
		t.Error("the broken page was kept")
	}
}

func TestCatalogFaults(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "---")
		panic(http.ErrAbortHandler)
	}
	for name, test := range map[string]struct {
		path     string
		answer   http.HandlerFunc
		requests int
		check    func(error) bool
	}{
		"archive missing":     {"/archive.mdx", status(404), 1, isStatus(404)},
		"archive broken":      {"/archive.mdx", status(500), attempts, isStatus(500)},
		"policy forbidden":    {"/policy.mdx", status(403), 1, isStatus(403)},
		"policy limited":      {"/policy.mdx", status(429), 1, isStatus(429)},
		"archive cut off":     {"/archive.mdx", cut, attempts, isError[*NetworkError]},
		"archive to http":     {"/archive.mdx", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://x.test/", 302) }, 1, func(err error) bool { return errors.Is(err, errNotHTTPS) }},
		"archive in a circle": {"/archive.mdx", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/archive.mdx", 302) }, 5, func(err error) bool { return strings.Contains(err.Error(), "redirects") }},
		"archive endless":     {"/archive.mdx", func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("x"), archiveLimit+1)) }, 1, isError[*SizeError]},
		"GitHub another page": {"/releases", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, 1, isError[*ShapeError]},
	} {
		t.Run(name, func(t *testing.T) {
			v, c := newCatalog(t)
			v.fault(test.path, test.answer)
			// What is cut on a connection that was kept is tried again by net/http itself, uncounted.
			c.HTTP.Transport.(*http.Transport).DisableKeepAlives = true
			_, err := c.Catalog(t.Context())
			if err == nil || !test.check(err) {
				t.Errorf("error %v", err)
			}
			if n := len(v.asked(test.path)); n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
			var hint interface{ Hint() string }
			if errors.As(err, &hint) && hint.Hint() == "" {
				t.Error("no hint")
			}
		})
	}
}

func isStatus(code int) func(error) bool {
	return func(err error) bool {
		status := new(StatusError)
		return errors.As(err, &status) && status.Code == code && status.Hint() != ""
	}
}

func isError[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// Without GitHub there is a warning, and the copy of last time.
func TestCatalogWithoutGitHub(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"limited":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"too many":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
		"broken":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		"unreachable": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			v, c := newCatalog(t)
			v.fault("/releases", answer)
			cat := must(c.Catalog(t.Context()))(t)
			if len(cat.Warnings) != 1 || !strings.Contains(cat.Warnings[0], "GitHub") {
				t.Errorf("warnings %q", cat.Warnings)
			}
			v.fault("/releases", nil)
			must(c.Catalog(t.Context()))(t)
			v.fault("/releases", answer)
			cat = must(c.Catalog(t.Context()))(t)
			if r, _ := cat.Find(version(t, "9.10.0"), Team, AMD64); len(cat.Warnings) != 1 || !r.Security {
				t.Errorf("with a copy: warnings %q, release %+v", cat.Warnings, r)
			}
		})
	}
}

// A server that takes the question and never answers is given up after Stall, four times over.
func TestPageStalls(t *testing.T) {
	v, c := newCatalog(t)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	v.fault("/archive.mdx", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler) // to return would be an answer
	})
	c.Stall = 20 * time.Millisecond
	_, err := c.Catalog(t.Context())
	var stalled *StalledError
	if !errors.As(err, &stalled) || !isError[*NetworkError](err) || !strings.Contains(err.Error(), "no data for 0.02 s") {
		t.Errorf("error %v, want a StalledError", err)
	}
}

func TestPageNeedsHTTPS(t *testing.T) {
	c := &Client{CacheDir: t.TempDir(), Pause: time.Millisecond}
	for _, address := range []string{"http://docs.example.org/x", "file:///etc/passwd", "https:///x", "https://user:pw@docs.example.org/x", "://", ""} {
		_, err := c.try(t.Context(), address, 10)
		if err == nil {
			t.Errorf("asked for %q", address)
		} else if strings.Contains(err.Error(), "pw@") {
			t.Errorf("the message shows the password: %v", err)
		}
	}
}

// The pauses double, and last as long as the server asks, up to a minute.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{Pause: time.Second}
		b := c.retries()
		start := time.Now()
		for range 3 {
			if err := c.pause(t.Context(), b, nil); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d < 3500*time.Millisecond || d > 10500*time.Millisecond {
			t.Errorf("three pauses took %s, want 7 s more or less", d)
		}
		start = time.Now()
		if err := c.pause(t.Context(), c.retries(), &StatusError{Code: 503, After: 20 * time.Second}); err != nil || time.Since(start) != 20*time.Second {
			t.Errorf("waited %s (%v), the server asked for 20 s", time.Since(start), err)
		}
		start = time.Now()
		if err := c.pause(t.Context(), c.retries(), &StatusError{Code: 503, After: time.Hour}); err != nil || time.Since(start) != time.Minute {
			t.Errorf("waited %s (%v), want a minute at most", time.Since(start), err)
		}
	})
}

// A cache that cannot be written costs nothing but the next request.
func TestCatalogWithoutCache(t *testing.T) {
	_, c := newCatalog(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.CacheDir = file
	must(c.Catalog(t.Context()))(t)
	c.CacheDir = ""
	must(c.Catalog(t.Context()))(t)
}

func TestLists(t *testing.T) {
	cat := someReleases()
	for v, want := range map[string]bool{"11.7.10": true, "11.7.3": true, "11.7.11": false, "11.8.0": false, "12.0.1": false, "12.0.0": true} {
		if got := cat.Lists(version(t, v), Team); got != want {
			t.Errorf("%s: %v", v, got)
		}
	}
}
