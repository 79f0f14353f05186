package state

import (
	"errors"
	"testing"

	"github.com/goccy/go-yaml"

	"townsquare/upgrade/problem"
)

// Whatever is in upgrade.yaml is refused in words of ours, or is a configuration that says the same
// when it is written and read again.
func FuzzParseConfig(f *testing.F) {
	for _, text := range []string{
		"", "# ours\ntrack: 11.10\nskip:\n  9.9.1: hung\nwatch: 60s\nwindow:\n",
		"edition: team\ntrack: esr\nreleases:\n  archive: https://docs.example.org/a.mdx\n",
		"window: Sun 23:00-01:00\nfreeze: [2026-12-20..2027-01-06]\nsecurity_within: 72h\n",
		"trak: esr\nskip: 9.9.1\nwatch: soon", "a: &a [*a]", "? {}\n: []", "track: !!binary x", "\x00", "{", "- 1\n- 2",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig("upgrade.yaml", data)
		if err != nil {
			var list problem.List
			if !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("refused without a problem: %v", err)
			}
			return
		}
		again, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseConfig("upgrade.yaml", again); err != nil {
			t.Errorf("what was read cannot be read again: %v\n%s", err, again)
		}
	})
}
