package phase

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// withPlugins makes the small host an installation with a plugin, and gives the phases of an upgrade.
func (h *smallHost) withPlugins(last ...Phase) []Phase {
	me, err := user.Current()
	must(h.t, err)
	touch(h.t, h.dir, "state/plugins/board/plugin.json", "state/client-plugins/board/main.js")
	f := h.op.Facts
	f.Version, err = release.Parse("7.7.0")
	must(h.t, err)
	f.Unit.User, f.Dir = me.Username, filepath.Join(h.dir, "versions/7.7.0")
	f.Places = []mattermost.Place{{Name: "plugins", Target: filepath.Join(h.dir, "state/plugins")},
		{Name: "client/plugins", Target: filepath.Join(h.dir, "state/client-plugins")}}
	target := filepath.Join(h.dir, "versions/9.10.0")
	for _, dir := range []string{f.Dir, target} {
		must(h.t, mattermost.Furnish(dir, me.Username, f.Places))
	}
	return append([]Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: f.Dir, NewTarget: target,
		Address: f.Health.URL, Port: 8065, Migrates: true, SchemaTarget: 101}}, Stop{}, Checkpoint{}, Swap{}, Start{}}, last...)
}

// newer is what a new version may do to plugins when it starts.
type newer struct{ h *smallHost }

func (newer) ID() string    { return "start" }
func (newer) Title() string { return "start the new version" }
func (n newer) Run(context.Context, *Operation) error {
	must(n.h.t, os.RemoveAll(n.h.dir+"/state/plugins/board")) // and the web clients' directory stays
	touch(n.h.t, n.h.dir, "state/plugins/board/v2/plugin.json", "state/plugins/calls/plugin.json")
	return nil
}

// halfBack is a way back that was killed between the two renames of an exchange.
type halfBack struct{ h *smallHost }

func (halfBack) ID() string                            { return "watch" }
func (halfBack) Title() string                         { return "watch" }
func (halfBack) Run(context.Context, *Operation) error { return errors.New("boom") }
func (halfBack) Undo(_ context.Context, op *Operation) error {
	e := op.Record.Run.PluginDirs[0]
	return errors.Join(os.MkdirAll(filepath.Dir(e.Kept), 0o700), os.Rename(e.Path, e.Kept))
}

// plugins are the files of those that are in use, and the directories with kept ones.
func (h *smallHost) plugins() string {
	var all []string
	for _, pattern := range []string{"state/[^.]*/*/*", "state/[^.]*/*/*/*", "state/.townsquare*"} {
		found, err := filepath.Glob(filepath.Join(h.dir, pattern))
		must(h.t, err)
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && (!info.IsDir() || strings.Contains(path, pluginsPrefix)) {
				all = append(all, strings.TrimPrefix(path, h.dir+"/state/"))
			}
		}
	}
	return strings.Join(all, " ")
}

// What a new version made of the plugins is undone, also when the way back was killed in the middle.
func TestPluginsAreBack(t *testing.T) {
	const before = "client-plugins/board/main.js plugins/board/plugin.json"
	h := newSmallHost(t)
	for _, last := range [][]Phase{
		{broken{}},                   // nothing was exchanged
		{newer{h}, broken{}},         // it was, behind the gate
		{newer{h}, halfBack{h}},      // and the way back was killed
		{newer{h}, Open{}, broken{}}, // and users were let in
	} {
		var notes string
		h.op.Emit = func(e Event) { notes += e.Text + "\n" }
		_, err := Run(t.Context(), h.withPlugins(last...), h.op)
		var back *RolledBack
		if !errors.As(err, &back) {
			t.Fatal(err)
		}
		want := before
		if len(last) == 3 { // people may have added something since
			want += " " + pluginsPrefix + h.op.ID
		}
		if got := h.plugins(); got != want {
			t.Errorf("left are %s, want %s", got, want)
		}
		replaced, err := filepath.Glob(filepath.Join(h.dir, "state/.townsquare*/replaced/plugins/calls/plugin.json"))
		if err != nil || len(replaced) != max(0, len(last)-2) {
			t.Errorf("kept of what was exchanged: %v, %v", replaced, err)
		}
		if said := strings.Contains(notes, "/plugins is as it was at the stop"); said != (len(last) > 1) {
			t.Errorf("%d: it says:\n%s", len(last), notes)
		}
	}
	// The next upgrade takes away what was kept, and one that works its own, too.
	phases := h.withPlugins(newer{h}, Open{}, committed{})
	if _, err := Run(t.Context(), phases, h.op); err != nil {
		t.Fatal(err)
	}
	if got := h.plugins(); got != "client-plugins/board/main.js plugins/calls/plugin.json plugins/board/v2/plugin.json" {
		t.Errorf("left are %s", got)
	}
}

// switchedByHand is an operator who has switched back to the old version, and has seen to its plugins.
type switchedByHand struct{ h *smallHost }

func (switchedByHand) ID() string    { return "watch" }
func (switchedByHand) Title() string { return "watch" }
func (s switchedByHand) Run(_ context.Context, op *Operation) error {
	touch(s.h.t, s.h.dir, "state/plugins/calls/plugin.json")
	return errors.Join(mattermost.Point(op.Record.Run.Link, op.Record.Run.OldTarget), errors.New("boom"))
}

// Plugins that an operator repaired stay, and so does what was kept of them at the stop.
func TestRepairedPluginsStay(t *testing.T) {
	h := newSmallHost(t)
	var notes string
	h.op.Emit = func(e Event) { notes += e.Text + "\n" }
	var back *RolledBack
	if _, err := Run(t.Context(), h.withPlugins(switchedByHand{h}), h.op); !errors.As(err, &back) {
		t.Fatal(err)
	}
	if got, want := h.plugins(), "client-plugins/board/main.js plugins/board/plugin.json plugins/calls/plugin.json "+pluginsPrefix+h.op.ID; got != want {
		t.Errorf("left are %s, want %s", got, want)
	}
	if !strings.Contains(notes, "/plugins stays as it is; as it was at the stop is kept as") {
		t.Errorf("it says:\n%s", notes)
	}
}

// committed is Commit without its tidying of what this host does not have.
type committed struct{}

func (committed) ID() string    { return "finalize" }
func (committed) Title() string { return "commit" }
func (committed) Run(_ context.Context, op *Operation) error {
	op.Record.Run.Committed = true
	return errors.Join(op.Save(), forgetPlugins(op.Record.Run))
}

// A run that never stopped the service leaves nothing, and nothing is kept of what is not the
// service's own.
func TestPluginsBeforeTheStop(t *testing.T) {
	h := newSmallHost(t)
	phases := h.withPlugins()
	_, err := Run(t.Context(), phases[:1], h.op)
	must(t, err)
	h.op.Record.Run = &state.Run{ID: h.op.ID}
	must(t, keepPlugins(h.op))
	if !strings.Contains(h.plugins(), pluginsPrefix) {
		t.Fatal("nothing is kept")
	}
	must(t, Stop{}.Undo(t.Context(), h.op))
	if got := h.plugins(); strings.Contains(got, pluginsPrefix) {
		t.Errorf("left are %s", got)
	}
	h.op.Facts.Unit.User = "nobody"
	must(t, keepPlugins(h.op))
	if len(h.op.Record.Run.PluginDirs) != 0 {
		t.Errorf("kept are %+v", h.op.Record.Run.PluginDirs)
	}
}

// A plugin that does not run with the old version is named.
func TestPluginsThatDoNotRunAgain(t *testing.T) {
	h := newSmallHost(t)
	var said string
	h.op.Emit = func(e Event) { said += e.Text }
	run := &state.Run{From: "7.7.0", Unit: "mm.service", Link: h.link, WasActive: true, Plugins: []string{"board", "calls"}}
	pluginsAgain(t.Context(), h.op, run, time.Now().Add(-time.Hour))
	if !strings.Contains(said, "7.7.0 serves again without plugin board and calls") {
		t.Errorf("it says %q", said)
	}
}
