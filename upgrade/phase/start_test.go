package phase

import (
	"io/fs"
	"testing"

	"townsquare/upgrade/state"
)

// A version that fails on a full disk is not to blame.
func TestFull(t *testing.T) {
	for want, free := range map[string]map[string]uint64{
		"":              {"/files/config": 1 << 30, "/opt/9.10.0": 1 << 30, state.Dir: 1 << 30},
		"/files/config": {"/files/config": 4096, "/opt/9.10.0": 1 << 30, state.Dir: 1 << 30},
		state.Dir:       {state.Dir: 0}, // the others are not there
	} {
		got := full(func(dir string) (uint64, uint64, any, error) {
			if room, ok := free[dir]; ok {
				return room, 1, nil, nil
			}
			return 0, 0, nil, fs.ErrNotExist
		}, "/files/config", "/opt/9.10.0", state.Dir)
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
