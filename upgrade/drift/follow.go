package drift

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"

	"golang.org/x/crypto/ssh"

	"townsquare/upgrade/state"
)

// changed returns the part of want that the stack did not have when this server last followed it. A
// file that was edited by hand since is left out: which of the two changes counts, an operator decides.
func (h Host) changed(want, before *state.Desired) *state.Desired {
	some := &state.Desired{User: want.User, Keys: want.Keys,
		Packages: without(want.Packages, before.Packages), Unwanted: without(want.Unwanted, before.Unwanted),
		Enabled: without(want.Enabled, before.Enabled), Disabled: without(want.Disabled, before.Disabled), Masked: without(want.Masked, before.Masked),
		Directories: without(want.Directories, before.Directories)}
	if want.Suite != before.Suite {
		some.Suite = want.Suite
	}
	for _, f := range without(want.Files, before.Files) {
		i := slices.IndexFunc(before.Files, func(old state.File) bool { return old.Path == f.Path })
		if i >= 0 {
			if now, err := os.ReadFile(h.path(f.Path)); err != nil || !bytes.Equal(now, []byte(before.Files[i].Content)) {
				continue
			}
		}
		some.Files = append(some.Files, f)
	}
	return some
}

func without[T comparable](list, others []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(one T) bool { return slices.Contains(others, one) })
}

// before returns what this server last followed; a server that never did follows want as it is.
func (h Host) before(want *state.Desired) (*state.Desired, error) {
	before, err := state.LoadDesired(h.path(state.FollowedFile))
	if before == nil && err == nil {
		before = want
	}
	return before, err
}

// Follow notes that the server is as its stack says, except for what is named as left: the next comparison
// knows by it what the stack changed, and which keys were the stack's.
func (c *Comparison) Follow() error {
	if !c.stack {
		return nil
	}
	followed := *c.want
	followed.Keys = slices.Concat(c.want.Keys, c.formerKeys)
	data, err := json.MarshalIndent(followed, "", "  ")
	if err != nil {
		return err
	}
	return put(c.host.path(state.FollowedFile), append(data, '\n'), 0o600, uint32(os.Getuid()), uint32(os.Getgid()))
}

// hasKey reports whether a line of authorized_keys among lines is of that key.
func hasKey(lines []string, key ssh.PublicKey) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		one, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		return err == nil && bytes.Equal(one.Marshal(), key.Marshal())
	})
}
