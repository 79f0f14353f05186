package mirror

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestArchiveIsServedWithItsRanges(t *testing.T) {
	m := newTestMirror(t, "9.10.0")
	p := m.published("9.10.0")
	whole := read(t, filepath.Join(p.Dir, p.File))
	a := m.get(hostReleases, p.path())
	if a.status != http.StatusOK || a.body != whole {
		t.Errorf("status %d, %d bytes", a.status, len(a.body))
	}
	if a.header.Get("Accept-Ranges") != "bytes" || a.header.Get("ETag") == "" || a.header.Get("Last-Modified") != p.Date.Format(http.TimeFormat) {
		t.Errorf("header %v", a.header)
	}
	etag := a.header.Get("ETag")
	if a := m.get(hostReleases, p.path(), "Range", "bytes=100-", "If-Range", etag); a.status != http.StatusPartialContent || a.body != whole[100:] {
		t.Errorf("range: status %d, %d bytes", a.status, len(a.body))
	}
	if a := m.get(hostReleases, p.path(), "Range", "bytes=100-", "If-Range", `"older"`); a.status != http.StatusOK || a.body != whole {
		t.Errorf("range of another version: status %d, %d bytes", a.status, len(a.body))
	}
	if a := m.get(hostReleases, p.path(), "Range", "bytes=99999999-"); a.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("range past the end: status %d", a.status)
	}
}

func TestPagesAreNotSentTwice(t *testing.T) {
	m := newTestMirror(t, "7.7.0")
	for host, path := range map[string]string{hostDocs: pathArchive, hostAPI: pathGitHub, hostPackages: pathKey} {
		first := m.get(host, path)
		if first.status != http.StatusOK {
			t.Errorf("%s: status %d", path, first.status)
		}
		again := m.get(host, path, "If-None-Match", first.header.Get("ETag"))
		if again.status != http.StatusNotModified || again.body != "" {
			t.Errorf("%s again: status %d, %q", path, again.status, again.body)
		}
	}
	etag := m.get(hostDocs, pathArchive).header.Get("ETag")
	p := testPackage(t, "9.10.0", Team)
	m.update(func(s *Settings) error { s.Publish(p); return nil })
	a := m.get(hostDocs, pathArchive, "If-None-Match", etag)
	if a.status != http.StatusOK || !strings.Contains(a.body, "Mattermost Team Edition v9.10.0") {
		t.Errorf("after a release: status %d", a.status)
	}
}

func TestWhatIsNotPublishedIsNotFound(t *testing.T) {
	m := newTestMirror(t, "7.7.0")
	p := m.published("7.7.0")
	for _, c := range [][2]string{
		{hostReleases, "/9.10.0/" + archiveName("9.10.0", Team, testArch)},     // not published
		{hostReleases, "/7.7.0/" + archiveName("7.7.0", Enterprise, testArch)}, // the other edition
		{hostReleases, pathArchive}, {hostDocs, p.path()}, {hostDocs, "/"}, {"elsewhere.test", pathArchive},
	} {
		if a := m.get(c[0], c[1]); a.status != http.StatusNotFound {
			t.Errorf("%s%s: status %d", c[0], c[1], a.status)
		}
	}
	m.update(func(s *Settings) error { s.Withdraw("7.7.0"); return nil })
	if a := m.get(hostReleases, p.path()); a.status != http.StatusNotFound {
		t.Errorf("withdrawn: status %d", a.status)
	}
}

func TestPublishingAgainReplaces(t *testing.T) {
	m := newTestMirror(t, "7.7.0")
	old, again := m.published("7.7.0"), testPackage(t, "7.7.0", Team)
	other := testPackage(t, "7.7.0", Enterprise)
	m.update(func(s *Settings) error { s.Publish(again, other); return nil })
	s, err := ReadSettings(m.dir)
	if err != nil || len(s.Packages) != 2 || s.Packages[0] == old.Dir {
		t.Errorf("packages %v, %v", s.Packages, err)
	}
	if a := m.get(hostReleases, other.path()); a.status != http.StatusOK {
		t.Errorf("the other edition: status %d", a.status)
	}
}

func TestPackageGoneFromTheCache(t *testing.T) {
	m := newTestMirror(t, "7.7.0")
	if err := os.RemoveAll(m.published("7.7.0").Dir); err != nil {
		t.Fatal(err)
	}
	a := m.get(hostDocs, pathArchive)
	if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "publish the version again") {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

func TestGitHubPages(t *testing.T) {
	m := newTestMirror(t, "6.3.0", "7.7.0", "9.10.0")
	a := m.get(hostAPI, pathGitHub+"?per_page=2")
	var list []gitHubRelease
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || len(list) != 2 || list[0].TagName != "v9.10.0" {
		t.Fatalf("%v: %s", err, a.body)
	}
	next, _, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<https://"+hostAPI), ">")
	a = m.get(hostAPI, next)
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || len(list) != 1 || list[0].TagName != "v6.3.0" {
		t.Errorf("%s: %v: %s", next, err, a.body)
	}
	if a.header.Get("Link") != "" {
		t.Errorf("the last page links to %s", a.header.Get("Link"))
	}
}

func TestOnlyReading(t *testing.T) {
	m := newTestMirror(t)
	resp, err := m.server.Client().Post(m.server.URL+pathArchive, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestRequestsAreNoted(t *testing.T) {
	m := newTestMirror(t, "9.10.0")
	p := m.published("9.10.0")
	m.get(hostReleases, p.path(), "Range", "bytes=0-9", "User-Agent", "tester")
	list, err := Requests(m.dir)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	want := Request{Time: today, Method: "GET", Host: hostReleases, Path: p.path(), Range: "bytes=0-9", Agent: "tester", Status: 206, Bytes: 10}
	if list[0] != want {
		t.Errorf("noted %+v, want %+v", list[0], want)
	}
}

func TestTransportFaults(t *testing.T) {
	m := newTestMirror(t, "9.10.0")
	p := m.published("9.10.0")
	whole := read(t, filepath.Join(p.Dir, p.File))

	m.fault(Fault{Path: p.path(), Kind: Cut, Bytes: 50, Times: 2})
	for range 2 {
		if a := m.get(hostReleases, p.path()); !errors.Is(a.err, io.ErrUnexpectedEOF) || a.body != whole[:50] {
			t.Errorf("cut: %d bytes, %v", len(a.body), a.err)
		}
	}
	if a := m.get(hostReleases, p.path()); a.err != nil || a.body != whole {
		t.Errorf("after two cuts: %d bytes, %v", len(a.body), a.err)
	}

	m.fault(Fault{Path: p.path(), Kind: Truncated, Bytes: 70, Times: 2})
	if a := m.get(hostReleases, p.path()); a.err != nil || a.status != http.StatusOK || a.body != whole[:70] {
		t.Errorf("truncated: status %d, %d bytes, %v", a.status, len(a.body), a.err)
	}
	if a := m.get(hostReleases, p.path(), "Range", "bytes=50-"); a.err != nil || a.body != whole[50:70] {
		t.Errorf("truncated, from byte 50 on: %d bytes, %v", len(a.body), a.err)
	}

	m.fault(Fault{Path: p.path(), Kind: Corrupt, Bytes: 60, Times: 2})
	a := m.get(hostReleases, p.path())
	if a.body == whole || a.body[:60] != whole[:60] || a.body[61:] != whole[61:] {
		t.Error("corrupt: not exactly one byte is another")
	}
	if a := m.get(hostReleases, p.path(), "Range", "bytes=55-"); a.body[5] == whole[60] || a.body[6:] != whole[61:] {
		t.Error("corrupt: a resumed download gets the right byte")
	}

	m.fault(Fault{Path: p.path(), Kind: Slow, Rate: int64(len(whole)) * 4, Times: 1})
	start := time.Now()
	if a := m.get(hostReleases, p.path()); a.body != whole || time.Since(start) < 200*time.Millisecond {
		t.Errorf("slow: %d bytes in %s", len(a.body), time.Since(start))
	}

	m.fault(Fault{Path: p.path(), Kind: Status, Status: 500, Times: 1})
	if a := m.get(hostReleases, p.path()); a.status != 500 {
		t.Errorf("status %d", a.status)
	}
	m.fault(Fault{Path: pathArchive, Kind: HTML, Times: 1})
	if a := m.get(hostDocs, pathArchive); a.status != 200 || !strings.Contains(a.header.Get("Content-Type"), "text/html") {
		t.Errorf("html: status %d, %v", a.status, a.header)
	}
	m.fault(Fault{Path: pathGitHub, Kind: RateLimit, Times: 1})
	if a := m.get(hostAPI, pathGitHub); a.status != 403 || a.header.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("rate limit: status %d, %v", a.status, a.header)
	}
	m.fault(Fault{Path: pathArchive, Kind: Stall, Times: 1})
	m.server.Client().Timeout = 100 * time.Millisecond
	if a := m.get(hostDocs, pathArchive); a.err == nil {
		t.Errorf("stall: status %d", a.status)
	}
}

// Over HTTP/2 it is not the connection that breaks but the stream; a client must notice all the same.
func TestCutOverHTTP2(t *testing.T) {
	m := newTestMirror(t, "9.10.0").overHTTP2()
	p := m.published("9.10.0")
	m.fault(Fault{Path: p.path(), Kind: Cut, Bytes: 50})
	if a := m.get(hostReleases, p.path()); a.err == nil || a.body != read(t, filepath.Join(p.Dir, p.File))[:50] {
		t.Errorf("cut: status %d, %d bytes, %v", a.status, len(a.body), a.err)
	}
}

func TestPageFaults(t *testing.T) {
	m := newTestMirror(t, "7.7.0", "9.10.0")
	hashes := func() map[string]string {
		out := map[string]string{}
		for _, e := range archiveEntry.FindAllStringSubmatch(m.get(hostDocs, pathArchive).body, -1) {
			out[e[1]+" "+e[2]] = e[5]
		}
		return out
	}
	right := hashes()
	if len(right) != 4 || right["Team 9.10.0"] != m.published("9.10.0").SHA256 {
		t.Fatalf("hashes %v", right)
	}
	m.fault(Fault{Path: pathArchive, Kind: TBD, Version: "9.10.0", Times: 1})
	if got := hashes(); got["Team 9.10.0"] != "TBD" || got["Team 7.7.0"] != right["Team 7.7.0"] {
		t.Errorf("tbd: %v", got)
	}
	m.fault(Fault{Path: pathArchive, Kind: WrongHash, Version: "9.10.0", Times: 1})
	if got := hashes(); len(got) != 4 || got["Team 9.10.0"] == right["Team 9.10.0"] {
		t.Errorf("wrong hash: %v", got)
	}
	for host, path := range map[string]string{hostDocs: pathArchive, hostAPI: pathGitHub} {
		before := m.get(host, path)
		m.fault(Fault{Path: path, Kind: Shape, Times: 1})
		after := m.get(host, path, "If-None-Match", before.header.Get("ETag"))
		if after.status != http.StatusOK || after.body == before.body {
			t.Errorf("shape of %s: status %d", path, after.status)
		}
		if path == pathArchive && archiveEntry.MatchString(after.body) {
			t.Error("the other shape is the old one")
		}
	}
	m.fault(Fault{Path: pathPolicy, Kind: Shape, Times: 1})
	if a := m.get(hostDocs, pathPolicy); strings.Contains(a.body, "gantt") || strings.Contains(a.body, "| v") {
		t.Errorf("the policy's other shape is the old one:\n%s", a.body)
	}
}
