package mirror

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"townsquare/infra/localcloud/build"
)

// testKeys makes one pair of keys for all tests: it takes most of a second.
var testKeys = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mirror-test-keys-")
	if err != nil {
		return "", err
	}
	_, err = makeKeys(dir)
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := testKeys(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// testArch is the processor that archives here are packed for.
const testArch = runtime.GOARCH

// today is when the tests take place.
var today = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// testMirror is a mirror with small archives, behind a server.
type testMirror struct {
	*testing.T
	dir    string
	server *httptest.Server
}

func newTestMirror(t *testing.T, numbers ...string) *testMirror {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	cache := &build.Cache{Dir: t.TempDir(), Progress: build.NewProgress(io.Discard)}
	entry := cache.Path(keyEntry())
	if err := os.MkdirAll(filepath.Dir(entry), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(keys, entry); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "mirror")
	m, err := open(dir, cache)
	if err != nil {
		t.Fatal(err)
	}
	m.now = func() time.Time { return today }
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	tm := &testMirror{T: t, dir: dir, server: server}
	for _, number := range numbers {
		p := testPackage(t, number, Team)
		tm.update(func(s *Settings) error {
			s.Publish(p)
			return nil
		})
	}
	return tm
}

// testPackage packs a few lines as a release.
func testPackage(t *testing.T, number string, e Edition) Package {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Find(number)
	if err != nil {
		t.Fatal(err)
	}
	files := []file{
		{name: "bin/mattermost", mode: 0o755, text: "#!/bin/sh\necho " + number + "\n"},
		{name: "config/config.json", mode: 0o600, text: "{}\n"},
		{name: "logs/", mode: 0o755},
		{name: "i18n/en.json", mode: 0o644, text: strings.Repeat(number+" ", 5000)},
	}
	p, err := pack(t.TempDir(), keys, files, number, e, r.Date)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (t *testMirror) update(change func(*Settings) error) {
	t.Helper()
	if err := Update(t.dir, change); err != nil {
		t.Fatal(err)
	}
}

func (t *testMirror) fault(f Fault) {
	t.Helper()
	t.update(func(s *Settings) error {
		_, err := s.AddFault(f)
		return err
	})
}

// answer is what a request led to. err is that of reading the body.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// get asks host for path, with headers given as names and values.
func (t *testMirror) get(host, path string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, t.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := t.server.Client().Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

// overHTTP2 puts a server with TLS and HTTP/2, as a cloud has it, in front of the same mirror.
func (t *testMirror) overHTTP2() *testMirror {
	t.Helper()
	server := httptest.NewUnstartedServer(t.server.Config.Handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return &testMirror{T: t.T, dir: t.dir, server: server}
}

// published is the package that the mirror publishes as number, Team Edition.
func (t *testMirror) published(number string) Package {
	t.Helper()
	s, err := ReadSettings(t.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range s.Packages {
		if p, err := Load(dir); err == nil && p.Number == number && p.Edition == Team {
			return p
		}
	}
	t.Fatalf("%s is not published", number)
	return Package{}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
