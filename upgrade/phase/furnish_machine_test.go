//go:build machine

package phase

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
			must(t, os.Chmod(root, 0o755))
			link := filepath.Join(root, "mattermost")
			version, err := release.Parse("9.10.0")
			must(t, err)
			next := release.Release{Version: version, Edition: release.Team}
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
			}, Save: func() error { return nil }, Releases: &release.Client{}, Record: &state.State{Run: &state.Run{NewTarget: dir, To: "9.10.0"}},
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
			// There is no address to download it from.
			if len(warned) != 1 || !strings.Contains(warned[0], "unpacked anew") || err == nil || !strings.Contains(err.Error(), "download ") {
				t.Errorf("%v, %q", err, warned)
			}
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what the user exchanged is still there: %v", err)
			}
		})
	}
}
