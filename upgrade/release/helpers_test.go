package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func version(t testing.TB, s string) Version {
	t.Helper()
	if s == "" {
		return Version{}
	}
	return must(Parse(s))(t)
}

// newKey makes a signing key that is valid at created for lifetime (0: for ever).
func newKey(t testing.TB, created time.Time, lifetime time.Duration) *openpgp.Entity {
	t.Helper()
	config := &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512,
		Time: func() time.Time { return created }, KeyLifetimeSecs: uint32(lifetime / time.Second),
	}
	return must(openpgp.NewEntity("Releases", "", "releases@townsquare.test", config))(t)
}

func public(t testing.TB, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, k := range keys {
		if err := k.Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func fingerprint(k *openpgp.Entity) string { return fmt.Sprintf("%X", k.PrimaryKey.Fingerprint) }

func sign(t testing.TB, k *openpgp.Entity, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.DetachSign(&b, k, bytes.NewReader(content), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// entry is one entry of a test archive; a Typeflag of 0 is a regular file with Body.
type entry struct {
	tar.Header
	Body string
}

func regular(name, body string) entry { return entry{tar.Header{Name: name, Mode: 0o644}, body} }

func tarGz(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(e.Body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.Body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// vendor is a server with the vendor's pages, key and archives; a test changes what a path gives.
type vendor struct {
	*httptest.Server
	key      *openpgp.Entity
	mu       sync.Mutex
	files    map[string][]byte
	faults   map[string]http.HandlerFunc // answers instead of the file; by path
	requests []*http.Request
}

func newVendor(t testing.TB) *vendor {
	t.Helper()
	v := &vendor{key: newKey(t, time.Now().Add(-time.Hour), 0), files: map[string][]byte{}, faults: map[string]http.HandlerFunc{}}
	v.Server = httptest.NewTLSServer(v)
	t.Cleanup(v.Close)
	v.files["/pubkey.gpg"] = public(t, v.key)

	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	v.requests = append(v.requests, r)
	fault, body := v.faults[r.URL.Path], v.files[r.URL.Path]
	v.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, r)
	case body == nil:
		http.NotFound(w, r)
	default:
		serve(w, r, body)
	}
}

// serve answers with ranges and conditions, as the vendor's servers do.
func serve(w http.ResponseWriter, r *http.Request, body []byte) {
	sum := sha256.Sum256(body)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:6])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func (v *vendor) fault(path string, h http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if h == nil {
		delete(v.faults, path)
		return
	}
	v.faults[path] = h
}

// asked gives the requests for a path so far.
func (v *vendor) asked(path string) []*http.Request {
	v.mu.Lock()
	defer v.mu.Unlock()
	var found []*http.Request
	for _, r := range v.requests {
		if r.URL.Path == path {
			found = append(found, r)
		}
	}
	return found
}

func (v *vendor) client(t testing.TB) *Client {
	return &Client{
		Sources: Sources{
			Archive: v.URL + "/archive.mdx", Policy: v.URL + "/policy.mdx", GitHub: v.URL + "/releases",
			Key: v.URL + "/pubkey.gpg", Fingerprint: fingerprint(v.key),
		},
		HTTP: v.Client(), CacheDir: t.TempDir(), Pause: time.Millisecond, Stall: 2 * time.Second,
	}
}

// publish puts a release on the server: archive, signature, and an entry for the page.
func (v *vendor) publish(t testing.TB, number string, content []byte) Release {
	t.Helper()
	r := Release{Version: version(t, number), Edition: Team, Arch: AMD64}
	path := "/" + number + "/" + r.Name()
	sum := sha256.Sum256(content)
	r.URL, r.SignatureURL, r.SHA256 = v.URL+path, v.URL+path+".sig", hex.EncodeToString(sum[:])
	v.mu.Lock()
	defer v.mu.Unlock()
	v.files[path], v.files[path+".sig"] = content, sign(t, v.key, content)
	return r
}

// pageOf writes releases as the version archive does.
func pageOf(releases ...Release) []byte {
	var b strings.Builder
	b.WriteString("---\ntitle: \"Version Archive\"\n---\n")
	for _, r := range releases {
		label := map[Edition]string{Team: "Team", Enterprise: "Enterprise"}[r.Edition]
		esr := ""
		if r.ESR {
			esr = " *Extended Support Release (ESR)*"
		}
		fmt.Fprintf(&b, "\nMattermost %s Edition v%s%s\n\n- `%s`\n- SHA-256 Checksum: `%s`\n", label, r.Version, esr, r.URL, r.SHA256)
		if r.SignatureURL != "" {
			fmt.Fprintf(&b, "- GPG Signature: [%s](%s)\n", r.SignatureURL, r.SignatureURL)
		}
	}
	return []byte(b.String())
}

// listed is a release with made-up addresses, for tests that download nothing.
func listed(number string, e Edition, esr bool) Release {
	v, err := Parse(number)
	if err != nil {
		panic(err)
	}
	r := Release{Version: v, Edition: e, Arch: AMD64, ESR: esr, SHA256: strings.Repeat("a1", 32)}
	r.URL = "https://releases.example.org/" + number + "/" + r.Name()
	r.SignatureURL = r.URL + ".sig"
	return r
}
