package ui

import (
	"fmt"
	"maps"
	"slices"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/release"
)

// Check refuses a status whose versions are none. Of the skip lists, which other servers get, it drops
// the entries that are not for a version, with a warning.
func (s *Status) Check() error {
	if err := phase.CheckVersions("the status' version or previous", s.Version, s.Previous); err != nil {
		return err
	}
	if err := phase.CheckHistory(s.History...); err != nil {
		return err
	}
	bad := append(dropped(s.Bad), dropped(s.Elsewhere)...)
	slices.Sort(bad)
	for _, key := range bad {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the server's skip list has an entry that is ignored, as %.40q is no version", key))
	}
	return nil
}

// dropped removes the entries that are not for a version and returns their keys.
func dropped[V any](list map[string]V) (keys []string) {
	for key := range maps.Keys(list) {
		if !release.IsVersion(key) {
			keys = append(keys, key)
			delete(list, key)
		}
	}
	return keys
}
