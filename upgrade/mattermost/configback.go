package mattermost

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// MergeConfig makes the configuration for going back to an older version: was is what it had, now
// is what the newer one has. A setting that both know is as it is now, as somebody may have changed
// it; one that only the older knows is as it was; one that only the newer knows is left out.
func MergeConfig(was, now []byte) ([]byte, error) {
	var older, newer map[string]map[string]any
	if err := json.Unmarshal(was, &older); err != nil {
		return nil, fmt.Errorf("read the older configuration: %w", err)
	}
	if err := json.Unmarshal(now, &newer); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	for section, settings := range older {
		for key, before := range settings {
			if after, there := newer[section][key]; there && sameKind(before, after) {
				settings[key] = after
			}
		}
	}
	return json.MarshalIndent(older, "", "    ")
}

// sameKind keeps a setting that became another kind of thing, such as a list that was a word, from
// going to a version that cannot read it. A null is of every kind.
func sameKind(a, b any) bool {
	return a == nil || b == nil || fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b)
}

// ConfigKeys are the names of a configuration's settings, such as "TeamSettings.SiteName", sorted.
func ConfigKeys(data []byte) ([]string, error) {
	var sections map[string]map[string]any
	if err := json.Unmarshal(data, &sections); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	var keys []string
	for section, settings := range sections {
		for key := range maps.Keys(settings) {
			keys = append(keys, section+"."+key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}
