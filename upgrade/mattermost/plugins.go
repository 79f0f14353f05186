package mattermost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"townsquare/upgrade/internal/untrusted"
)

// Plugin is one plugin on the disk.
type Plugin struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Enabled bool   `json:"enabled"`
}

// maxPlugin is the largest plugin.json that is read, in bytes; the largest known has 40 KB.
const maxPlugin = 4 << 20

// ListPlugins reads the plugins below dir, with the rights of the service's user; a directory that is
// not there has none.
func (c *Config) ListPlugins(dir string) (plugins []Plugin, err error) {
	err = untrusted.As(c.user, func() error {
		plugins, err = c.listPlugins(dir)
		return err
	})
	return plugins, err
}

func (c *Config) listPlugins(dir string) ([]Plugin, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	states, _ := c.Get("PluginSettings.PluginStates")
	enabled := func(id string) bool {
		all, _ := states.(map[string]any)
		one, _ := all[id].(map[string]any)
		on, _ := one["Enable"].(bool)
		return on
	}
	var plugins []Plugin
	for _, e := range entries {
		data, err := untrusted.ReadFile(filepath.Join(dir, e.Name(), "plugin.json"), maxPlugin)
		if err != nil {
			continue // no plugin, such as a file of the administrator's
		}
		var p Plugin
		if json.Unmarshal(data, &p) != nil || p.ID == "" {
			continue
		}
		p.Enabled = enabled(p.ID)
		plugins = append(plugins, p)
	}
	sort.Slice(plugins, func(i, j int) bool { return plugins[i].ID < plugins[j].ID })
	return plugins, nil
}

// MissingPlugins are those of before that are gone or switched off.
func MissingPlugins(before, after []Plugin) []string {
	var missing []string
	for _, b := range before {
		found := false
		for _, a := range after {
			found = found || (a.ID == b.ID && (a.Enabled || !b.Enabled))
		}
		if !found {
			missing = append(missing, b.ID)
		}
	}
	return missing
}

// RunningPlugins are the ids of the plugins below dir that run as processes of the service, as those
// with a server's part do: what the kernel says needs no login. It is sorted.
func (s Service) RunningPlugins(ctx context.Context, dir string) ([]string, error) {
	out, err := s.run(ctx, "show", "--property=ControlGroup", s.Unit)
	if err != nil {
		return nil, fmt.Errorf("ask systemd about %s: %w", s.Unit, err)
	}
	group := properties(string(out))["ControlGroup"]
	if group == "" {
		return nil, nil // it does not run
	}
	return pluginsOf("/", group, dir)
}

// pluginsOf looks at the processes of a control group below root.
func pluginsOf(root, group, dir string) ([]string, error) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	found := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root, "sys/fs/cgroup", group), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return ignoreMissing(err)
		}
		pids, err := os.ReadFile(path)
		if err != nil {
			return ignoreMissing(err)
		}
		for _, pid := range strings.Fields(string(pids)) {
			program, err := os.Readlink(filepath.Join(root, "proc", pid, "exe"))
			if err != nil {
				continue // it has ended meanwhile
			}
			if rest, ok := strings.CutPrefix(program, dir+"/"); ok {
				id, _, _ := strings.Cut(rest, "/")
				found[id] = true
			}
		}
		return nil
	})
	return slices.Sorted(maps.Keys(found)), err
}
