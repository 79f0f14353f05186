package cli

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

func (h *server) examineCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "examine check|plan",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := h.take()
			if err != nil {
				return err
			}
			return h.examine(cmd.Context(), args[0], r)
		},
	}
}

// examine makes a plan and writes its events to stdout, the plan last. While a run is in progress,
// or one was left unfinished, nothing is examined: the host is neither old nor new then.
func (h *server) examine(ctx context.Context, what string, r request) error {
	emit := h.lines()
	running, err := h.running(ctx)
	if err != nil {
		return err
	}
	beside := running != "" && r.Look && quiet(running)
	if running != "" && !beside {
		emit(phase.Event{Kind: phase.Result, Data: phase.Preview{Running: running, Exit: phase.ExitLocked}})
		return nil
	}
	if r.Unattended { // it waits until whoever it is has ended
		if holder, held, err := host.ReadLock(h.path(host.LockPath)); err != nil || held {
			return cmp.Or[error](err, &host.LockedError{Holder: holder})
		}
	}
	var notices []string
	if !r.Try {
		notices, err = h.deliver(r)
		var locked *host.LockedError
		if r.Try = beside && errors.As(err, &locked); err != nil && !r.Try {
			return h.refuse(emit, err)
		}
	}
	record, err := state.Load(h.path(state.Path))
	if err != nil {
		return err
	}
	if left := record.Run; left != nil && left.ID != running {
		said, err := h.said(left.ID)
		emit(phase.Event{Kind: phase.Result, Data: phase.Preview{Left: left.ID, Stuck: said && !left.Again, Exit: phase.ExitNotRolledBack}})
		return err
	}
	op, err := h.operation("", what, emit)
	if err != nil {
		return h.refuse(emit, err)
	}
	op.Notices = append(op.Notices, notices...)
	if r.Follow && h.drift != nil {
		switch first, err := h.first(ctx, op, r); {
		case err != nil:
			op.Notices = append(op.Notices, "the server could not be compared with its stack: "+err.Error())
		case first.First != "":
			emit(phase.Event{Kind: phase.Result, Data: first})
			return nil
		}
	}
	if r.Try && r.Delivery.Config != nil {
		if op.Config, err = r.Delivery.Merged(h.root); err != nil {
			return h.refuse(emit, err)
		}
		op.Releases.Sources = release.Sources(op.Config.Releases)
	}
	if run := op.Record.Run; run != nil && run.ID == running { // it is that run's, and is not written here
		op.Record.Run = nil
		op.Save = func() error { return errors.New("an examination writes no record") }
	}
	op.Options = r.Options
	if r.ByItself && h.repository != nil {
		h.repository(ctx, op)
	}
	checks, rest := h.choice(), []phase.Phase(nil)
	if what == "plan" {
		sequence, err := h.phases(r.Operation)
		if err != nil {
			return err
		}
		checks, rest = sequence.All[:sequence.Looks], sequence.All[sequence.Looks:]
	}
	_, err = phase.Examine(ctx, checks, rest, op)
	return exitWith(phase.Code(err))
}

// first names the repair that comes before a run, where the stack has changed since the last one, or a
// volume is larger than its file system.
func (h *server) first(ctx context.Context, op *phase.Operation, r request) (plan phase.Preview, err error) {
	c, err := h.drift(ctx, nil, drift.Options{Changed: true, KeepKey: r.KeepKey, Own: op.Own(h.root)})
	if err != nil || c == nil || len(c.Repairable()) == 0 {
		return plan, err
	}
	return phase.Preview{First: "repair", Why: phase.Summary(c.Repairable())}, nil
}

// refuse makes a plan of findings in what the operator or the host brought, so that they arrive
// whole; every other error stays one.
func (h *server) refuse(emit func(phase.Event), err error) error {
	var list problem.List
	if !errors.As(err, &list) {
		return err
	}
	emit(phase.Event{Kind: phase.Result, Data: phase.Preview{Error: err.Error(), Problems: list, Exit: phase.ExitRefused}})
	return exitWith(phase.ExitRefused)
}
