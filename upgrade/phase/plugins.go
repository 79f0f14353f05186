package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/internal/untrusted"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// pluginsPrefix begins the name of the directory in which plugins are kept for the way back: on the
// file system that they are on, so that they are renamed.
const pluginsPrefix = ".townsquare-plugins-"

// keepPlugins keeps the plugins as they are: a new version may exchange them when it starts, for ones
// that the old version cannot run. Where they cannot be kept, the upgrade goes on without. Bundles in
// the file store are left alone: the ones that people upload are there.
func keepPlugins(op *Operation) error {
	run := op.Record.Run
	if !op.Facts.Installed() || run.Backup != "" { // a backup's plugins take the place of these as a whole
		return nil
	}
	run.PluginDirs = pluginDirs(op)
	if len(run.PluginDirs) == 0 {
		return nil
	}
	if err := op.Save(); err != nil {
		return err
	}
	for _, beside := range besides(op) {
		if err := clearKept(beside); err != nil {
			op.Warn("remove plugins that an earlier run kept: %v", err)
		}
	}
	run.PluginDirs = slices.DeleteFunc(run.PluginDirs, func(e state.Exchange) bool {
		err := keepDir(op.Facts.Unit.User, e)
		if err != nil {
			op.Warn("if the new version exchanges plugins, they cannot be put back: %v", errors.Join(err, os.RemoveAll(e.Staged)))
		}
		return err != nil
	})
	return nil
}

// pluginDirs says where the plugins are, and where they are kept.
func pluginDirs(op *Operation) (list []state.Exchange) {
	f := op.Facts
	for _, p := range f.Places {
		path := settled(filepath.Join(f.Dir, p.Name))
		if p.Name != "plugins" && p.Name != "client/plugins" {
			continue
		}
		if !mattermost.Owns(f.Unit.User, path) { // not there, or somebody else's
			continue
		}
		beside := filepath.Dir(path)
		if p.Move { // the directory around it is about to be moved
			beside = mattermost.Root(f.Link)
		}
		staging, name := filepath.Join(beside, pluginsPrefix+op.ID), strings.ReplaceAll(p.Name, "/", "-")
		list = append(list, state.Exchange{Path: path, Staged: filepath.Join(staging, name), Kept: filepath.Join(staging, "replaced", name)})
	}
	return list
}

func keepDir(user string, e state.Exchange) error {
	if err := makeStaging(filepath.Dir(e.Staged), user); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return mattermost.KeepTree(e.Path, e.Staged)
}

// besides are the directories in which this run, or one before, keeps plugins.
func besides(op *Operation) []string {
	dirs := []string{mattermost.Root(op.Facts.Link)}
	for _, e := range op.Record.Run.PluginDirs {
		if dir := filepath.Dir(filepath.Dir(e.Staged)); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// clearKept removes the plugins that runs kept in dir.
func clearKept(dir string) error {
	root, err := untrusted.OpenDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	found, err := fs.ReadDir(root.FS(), ".")
	for _, e := range found {
		if strings.HasPrefix(e.Name(), pluginsPrefix) {
			err = errors.Join(err, root.RemoveAll(e.Name()))
		}
	}
	return err
}

// putPluginsBack puts the plugins back that the new version exchanged. Without them the old version
// serves all the same, so that nothing here keeps it from it. Where an operator has switched back to the
// old version by hand, the plugins stay as they are.
func putPluginsBack(op *Operation) {
	run := op.Record.Run
	byHand := run.Way == "" && !run.Unswitching
	run.PluginDirs = slices.DeleteFunc(run.PluginDirs, func(e state.Exchange) bool {
		same, err := mattermost.SameTree(e.Path, e.Staged)
		if byHand && err == nil && !same && exists(e.Path) {
			op.Note("%s stays as it is; as it was at the stop is kept as %s until the next upgrade", e.Path, e.Staged)
			return true
		}
		if err == nil && !same {
			err = mattermost.Exchange(e.Path, e.Staged, e.Kept)
		}
		switch {
		case err != nil:
			op.Warn("%s stays as %s left it: %v; as it was at the stop is kept as %s until the next upgrade", e.Path, run.To, err, e.Staged)
		case !same && !exposed(run).IsZero():
			op.Note("%s is as it was at the stop; as it was since is kept as %s until the next upgrade", e.Path, e.Kept)
		case !same:
			op.Note("%s is as it was at the stop", e.Path)
		}
		return err != nil // what is kept in vain is not forgotten
	})
}

// forgetPlugins removes what keepPlugins kept and, where people cannot have added to it, what
// putPluginsBack replaced.
func forgetPlugins(run *state.Run) (err error) {
	for _, e := range run.PluginDirs {
		err = errors.Join(err, os.RemoveAll(e.Staged))
		if run.Committed || exposed(run).IsZero() {
			err = errors.Join(err, os.RemoveAll(e.Kept))
		}
		_, _ = os.Remove(filepath.Dir(e.Kept)), os.Remove(filepath.Dir(e.Staged)) // as soon as nothing is in them
	}
	return err
}

// pluginsTimeout is how long a plugin may take to be there again, with users on the server.
const pluginsTimeout = 30 * time.Second

// awaitPlugins waits until those that ran at the stop run again, and says which still do not that long
// after since.
func awaitPlugins(ctx context.Context, run *state.Run, since time.Time) (gone []string, err error) {
	for {
		running, err := service(run).RunningPlugins(ctx, run.Link+"/plugins")
		if err != nil {
			return nil, fmt.Errorf("look at the plugins: %w", err)
		}
		gone = slices.DeleteFunc(slices.Clone(run.Plugins), func(id string) bool { return slices.Contains(running, id) })
		if len(gone) == 0 || time.Since(since) > pluginsTimeout {
			return gone, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// pluginsAgain says which plugins the old version, which serves since then, does not run, and did at
// the stop.
func pluginsAgain(ctx context.Context, op *Operation, run *state.Run, since time.Time) {
	if !run.WasActive || len(run.Plugins) == 0 {
		return
	}
	gone, err := awaitPlugins(ctx, run, since)
	if err != nil {
		op.Warn("%v", err)
	}
	if len(gone) > 0 {
		op.Warn("%s serves again without plugin %s, which ran before: journalctl -u %s", run.From, strings.Join(gone, " and "), run.Unit)
	}
}
