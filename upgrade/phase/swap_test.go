package phase

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// The service's user owns client/, and can exchange what is in there between the checks and the switch: that
// costs this file, not the upgrade. What root added elsewhere must come along.
func TestSwitchWithAnExchangedFile(t *testing.T) {
	for name, fails := range map[string]bool{"client/logo": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			root, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			old, next, link := filepath.Join(root, "versions/7.7.0"), filepath.Join(root, "versions/9.10.0"), filepath.Join(root, "mattermost")
			touch(t, old, "client/index.html")
			touch(t, next, "client/index.html")
			must(t, os.Symlink(old, link))
			must(t, os.Symlink("/root", filepath.Join(old, name)))
			var warned string
			op := &Operation{Facts: &mattermost.Installation{Link: link, Dir: old}, Save: func() error { return nil },
				Emit: func(e Event) {
					if e.Kind == Warn {
						warned = e.Text
					}
				},
				Record: &state.State{Run: &state.Run{Link: link, OldTarget: old, NewTarget: next,
					Moves: []state.Move{{From: filepath.Join(old, name), To: filepath.Join(root, "townsquare/custom", name)}}}}}
			err = Swap{}.Run(t.Context(), op)
			target, _ := os.Readlink(link)
			if fails != (err != nil) || fails != (target == old) || !fails && !strings.Contains(warned, "it is a link already; it stays in "+old) {
				t.Errorf("%v, leads to %s, warned %q", err, target, warned)
			}
		})
	}
}
