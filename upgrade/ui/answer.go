package ui

import (
	"fmt"
	"maps"
	"slices"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/release"
)

// Check refuses a status with a malformed version. From the skip lists, which are passed on to other
// servers, it drops malformed entries with a warning.
func (s *Status) Check() error {
	if err := phase.CheckVersions("the installed or the previous version", s.Version, s.Previous); err != nil {
		return err
	}
	if err := phase.CheckHistory(s.History...); err != nil {
		return err
	}
	bad := append(dropped(s.Bad), dropped(s.Elsewhere)...)
	slices.Sort(bad)
	for _, key := range bad {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the server's skip list: entry ignored: %.40q is not a version", key))
	}
	return nil
}

// dropped removes the entries whose key is not a version and returns these keys.
func dropped[V any](list map[string]V) (keys []string) {
	for key := range maps.Keys(list) {
		if !release.IsVersion(key) {
			keys = append(keys, key)
			delete(list, key)
		}
	}
	return keys
}
