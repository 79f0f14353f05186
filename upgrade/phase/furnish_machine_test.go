//go:build machine

package phase

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/internal/untrusted"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// A restore onto a version that is unpacked already, with a link of the service's user in the way of a place,
// unpacks it anew. Where that version serves, it is left alone, and the error says what to look for.
func TestRestoreOverALinkOfTheServicesUser(t *testing.T) {
	for name, serves := range map[string]bool{"beside what serves": false, "what serves": true} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			must(t, errors.Join(os.Chmod(root, 0o755), os.Chmod(filepath.Dir(root), 0o755)))
			link := filepath.Join(root, "mattermost")
			version, err := release.Parse("9.10.0")
			must(t, err)
			next := release.Release{Version: version, Edition: release.Team, Arch: release.AMD64}
			releases := vendor(t, &next)
			dir := mattermost.VersionDir(link, next.Dir())
			touch(t, dir, "bin/mattermost", "client/index.html")
			must(t, os.WriteFile(dir+".manifest.json", []byte(`{"kind":"townsquare.release"}`), 0o600))
			must(t, release.MarkComplete(dir, next))
			must(t, os.Lchown(filepath.Join(dir, "client"), 65534, 65534))
			must(t, os.Symlink("/etc", filepath.Join(dir, "client/images")))
			must(t, os.Lchown(filepath.Join(dir, "client/images"), 65534, 65534))
			var warned []string
			op := &Operation{Emit: func(e Event) {
				if e.Kind == Warn {
					warned = append(warned, e.Text)
				}
			}, Save: func() error { return nil }, Releases: releases, Record: &state.State{Run: &state.Run{NewTarget: dir, To: "9.10.0"}},
				Choice: release.Choice{Next: &next}, restore: &backup.Snapshot{},
				Facts: &mattermost.Installation{Link: link, Dir: filepath.Join(root, "another"), Unit: &mattermost.Unit{User: "nobody"}, Config: &mattermost.Config{},
					Places: []mattermost.Place{{Name: "client/images/logo", Target: filepath.Join(root, "custom/logo"), Custom: true}}}}
			if serves {
				op.Facts.Dir = dir
			}
			err = reinstall{}.Run(t.Context(), op)
			if serves {
				if !errors.Is(err, untrusted.ErrLink) || !strings.Contains(Hint(err), "find "+dir+"/client -type l") || len(warned) > 0 {
					t.Errorf("%v, %q, %q", err, Hint(err), warned)
				}
				return
			}
			if err != nil || len(warned) != 1 || !strings.Contains(warned[0], "unpacked anew") {
				t.Fatalf("%v, %q", err, warned)
			}
			if info, err := os.Lstat(filepath.Join(dir, "client/images")); err != nil || !info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Errorf("client/images is %v, %v", info, err)
			}
			if to, err := os.Readlink(filepath.Join(dir, "client/images/logo")); err != nil || to != filepath.Join(root, "custom/logo") {
				t.Errorf("the logo is a link to %q, %v", to, err)
			}
			if data, err := os.ReadFile(filepath.Join(dir, "client/index.html")); err != nil || string(data) != "as released" || !release.IsComplete(dir) {
				t.Errorf("the version has %q, %v", data, err)
			}
		})
	}
}

// vendor publishes the release, signed, and gives a client for it.
func vendor(t *testing.T, r *release.Release) *release.Client {
	t.Helper()
	var archive, signature, key bytes.Buffer
	packed := gzip.NewWriter(&archive)
	files := tar.NewWriter(packed)
	for name, text := range map[string]string{"client/index.html": "as released", "client/images/icon": "", "bin/mattermost": "#!/bin/sh\necho Build Number: " + r.Version.String()} {
		must(t, files.WriteHeader(&tar.Header{Name: "mattermost/" + name, Mode: 0o755, Size: int64(len(text))}))
		_, err := files.Write([]byte(text))
		must(t, err)
	}
	must(t, errors.Join(files.Close(), packed.Close()))
	entity, err := openpgp.NewEntity("Releases", "", "releases@townsquare.test", nil)
	must(t, err)
	must(t, errors.Join(entity.Serialize(&key), openpgp.DetachSign(&signature, entity, bytes.NewReader(archive.Bytes()), nil)))
	pages := map[string][]byte{"/archive": archive.Bytes(), "/signature": signature.Bytes(), "/key": key.Bytes()}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(pages[r.URL.Path]) }))
	t.Cleanup(server.Close)
	r.URL, r.SignatureURL, r.SHA256 = server.URL+"/archive", server.URL+"/signature", fmt.Sprintf("%x", sha256.Sum256(archive.Bytes()))
	return &release.Client{HTTP: server.Client(), CacheDir: t.TempDir(),
		Sources: release.Sources{Key: server.URL + "/key", Fingerprint: fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)}}
}
