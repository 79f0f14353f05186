package phase

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// Facts looks at the host and changes nothing.
type Facts struct{}

// Title says what a person reads.
func (Facts) Title() string { return "look at the host" }

// Run fills op.Facts.
func (Facts) Run(ctx context.Context, op *Operation) error {
	if err := booted(state.HostEnv, state.ReadyFile); err != nil {
		return err
	}
	facts, err := mattermost.Discover(ctx, mattermost.Discovery{})
	if err != nil {
		return err
	}
	op.Facts = facts
	if op.proxy, err = findProxy(ctx, op.machine(), caddyConfig); err != nil {
		return err
	}
	if active := op.Record.Active; facts.Installed() && active != "" && active != facts.Version.String() && op.Record.Run == nil {
		op.Warn("the record says %s is installed, and %s is: someone changed it by hand", active, facts.Version)
	}
	return nil
}

// booted refuses a host that infra made and that has not finished its first boot.
func booted(hostEnv, ready string) error {
	if _, err := os.Stat(hostEnv); errors.Is(err, fs.ErrNotExist) {
		return nil // not one of ours: nothing to wait for
	}
	if _, err := os.Stat(ready); errors.Is(err, fs.ErrNotExist) {
		return problem.List{{Where: ready, Found: "missing: the host's first boot is not over, or failed",
			Allowed: "a host whose first boot is over", Hint: "sudo cloud-init status --wait --long"}}
	} else if err != nil {
		return err
	}
	return nil
}
