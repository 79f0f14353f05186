package system

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// policyPath is what Debian's maintainer scripts ask before they start or stop a service
// (invoke-rc.d(8), deb-systemd-invoke(1p)); heldPath lists what they wanted. It is in /run so that a
// power cut takes it away, and with it what the policy forbids: /run itself may forbid programs.
//
// Of several units in one call deb-systemd-invoke asks for the first only and ends when that is held
// back (so in Debian 12 and 13): of the others needrestart names those that run old files, and one
// that is new waits for the next boot. debhelper's scripts name several where a package has several.
const (
	policyPath = "/usr/sbin/policy-rc.d"
	heldPath   = "/run/townsquare/held-back"
)

const policy = `#!/bin/sh
# Of townsquare: while it installs packages, the restarts that they ask for wait for its planned
# pass. Without the list, as after a power cut, nothing is forbidden.
[ -e ` + heldPath + ` ] || exit 0
[ "$1" != --quiet ] || shift
printf '%s %s\n' "$1" "$2" >>` + heldPath + `
exit 101
`

// ErrForeignPolicy says that somebody else's policy-rc.d is there.
var ErrForeignPolicy = errors.New(policyPath + " is not ours")

// CheckPolicy says whether Hold can work here.
func (s System) CheckPolicy() error {
	have, err := os.ReadFile(s.path(policyPath))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !bytes.Equal(have, []byte(policy)):
		return ErrForeignPolicy
	}
	return nil
}

// Hold keeps packages from restarting services until Release.
func (s System) Hold() error {
	if err := s.CheckPolicy(); err != nil {
		return fmt.Errorf("refusing to replace: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path(heldPath)), 0o700); err != nil {
		return err
	}
	list, err := os.OpenFile(s.path(heldPath), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(list.Close(), renameio.WriteFile(s.path(policyPath), []byte(policy), 0o755, renameio.IgnoreUmask()))
}

// Release lets packages restart services again. Done once, it does nothing.
func (s System) Release() error {
	err := s.CheckPolicy()
	if errors.Is(err, ErrForeignPolicy) {
		return nil
	}
	if err == nil {
		err = os.Remove(s.path(policyPath))
	}
	for _, e := range []error{err, os.Remove(s.path(heldPath))} {
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			return e
		}
	}
	return nil
}

// Wish is what packages wanted of one service while it was held back.
type Wish struct {
	Unit    string   `json:"unit"` // may be a pattern, such as postgresql@17-*
	Actions []string `json:"actions"`
}

// Restart says that the service, if it runs, was to be stopped or restarted.
func (w Wish) Restart() bool {
	return slices.ContainsFunc(w.Actions, func(a string) bool {
		return a == "stop" || strings.Contains(a, "restart")
	})
}

// Start says that the service was to be started.
func (w Wish) Start() bool { return slices.Contains(w.Actions, "start") }

// Reload says that the service was to read its configuration anew.
func (w Wish) Reload() bool {
	return slices.ContainsFunc(w.Actions, func(a string) bool { return strings.Contains(a, "reload") })
}

// Held lists what was held back since Hold.
func (s System) Held() ([]Wish, error) {
	data, err := os.ReadFile(s.path(heldPath))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var wishes []Wish
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(strings.NewReplacer("(", "", ")", "").Replace(line))
		if len(words) < 2 {
			continue
		}
		unit := words[0]
		if !strings.Contains(unit, ".") {
			unit += ".service"
		}
		i := slices.IndexFunc(wishes, func(w Wish) bool { return w.Unit == unit })
		if i < 0 {
			i = len(wishes)
			wishes = append(wishes, Wish{Unit: unit})
		}
		for _, action := range words[1:] {
			if !slices.Contains(wishes[i].Actions, action) {
				wishes[i].Actions = append(wishes[i].Actions, action)
			}
		}
	}
	return wishes, nil
}
