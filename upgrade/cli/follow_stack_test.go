package cli

import (
	"context"
	"errors"
	"testing"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// What the stack has changed comes to the server before the run, once. Where it cannot, the run does not
// wait for it.
func TestApplyFollowsTheStack(t *testing.T) {
	for name, test := range map[string]struct {
		failure error
		says    string
	}{
		"followed":     {nil, "The server follows it first."},
		"not followed": {errors.New("the disk is full"), "The server could not follow its stack: the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHost(t)
			repairs := 0
			h.drift = func(_ context.Context, _ *state.Desired, o drift.Options) (*drift.Comparison, error) {
				c := &drift.Comparison{}
				if o.Changed && repairs == 0 || test.failure != nil {
					c.Differences = []drift.Difference{{Name: "the SSH key", Found: "is missing"}, {Name: "x", Found: "was added", Left: "unmanaged"}}
				}
				return c, nil
			}
			h.acts["take"] = func(ctx context.Context, op *phase.Operation) error {
				return op.Acquire(ctx, state.Run{From: "7.7.0"})
			}
			h.acts["files"] = func(_ context.Context, op *phase.Operation) error {
				if repairs++; !op.Changed {
					t.Error("all drift is repaired, and not only what the stack changed")
				}
				return test.failure
			}
			h.acts["proof"] = func(_ context.Context, op *phase.Operation) error {
				op.Record.Run.Committed = true
				return op.Save()
			}
			wants(t, h.upgrade(t.Context(), "plan"), 0, "Install Mattermost 9.10.0") // it only looks
			wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "The stack has changed: the SSH key is missing.", test.says, "Mattermost is now 9.10.0; it was 7.7.0.")
			h.ended.Wait()
			if repairs != 1 || h.record().Active != "9.10.0" {
				t.Errorf("repaired %d times; %+v", repairs, h.record())
			}
		})
	}
}
