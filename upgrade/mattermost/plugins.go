package mattermost

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
)

// Plugin is one plugin on the disk.
type Plugin struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Enabled bool   `json:"enabled"`
}

// ListPlugins reads the plugins below dir; a directory that is not there has none.
func (c *Config) ListPlugins(dir string) ([]Plugin, error) {
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
		data, err := os.ReadFile(filepath.Join(dir, e.Name(), "plugin.json"))
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
