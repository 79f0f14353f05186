package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

type recoverOptions struct {
	run  string
	boot bool
}

func (h *server) recoverCommand() *cobra.Command {
	var o recoverOptions
	cmd := &cobra.Command{
		Use:  "recover",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return h.recover(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.run, "run", "", "")
	cmd.Flags().BoolVar(&o.boot, "boot", false, "")
	return cmd
}

// recover puts back what a run left unfinished that cannot do so itself any more: one that was
// killed or hung (called by its unit when it ends, and by host.RecoveryUnit when that fails) or
// whose power was cut (called by host.RecoveryUnit at boot). A run that said its result has done
// what can be done, and needs a person, if anyone; a boot is a new chance. A run that
// asked for this very boot goes on; where it could not, it is undone.
func (h *server) recover(ctx context.Context, o recoverOptions) (err error) {
	supervisor := host.FindSupervisor()
	ready := sync.OnceFunc(func() {
		if err := supervisor.Ready(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	defer func() {
		if err == nil {
			ready()
		}
	}()
	defer deafen()()
	record, err := state.Load(h.path(state.Path))
	if err != nil {
		return err
	}
	_, boot := host.Process()
	left := record.Run
	o.boot = o.boot && left != nil && left.BootID != boot
	if !o.boot && h.service.Stopping(ctx) {
		return nil // the next boot does it
	}
	if o.run == "" && left != nil {
		o.run = left.ID
	}
	if o.run == "" {
		return host.SweepLock(h.path(host.LockPath))
	}
	ended, err := h.said(o.run)
	if err != nil || ended && !o.boot && (left == nil || !left.Again && !left.Rebooting()) {
		return err
	}
	journal, err := phase.OpenJournal(h.path(phase.JournalDir), o.run, h.app.redactor)
	if err != nil {
		return err
	}
	defer journal.Close()
	name := phase.OperationOf(o.run)
	if left != nil {
		name = left.Operation
	}
	sequence, err := h.phases(name)
	if err != nil {
		return err
	}
	op, err := h.unfinished(o.run, name, h.write(journal))
	if err != nil {
		return err
	}
	if o.boot && left.Rebooting() {
		err := h.goOn(ctx, left)
		if err == nil {
			return nil
		}
		fmt.Fprintln(os.Stderr, err) // so the run is undone
	}
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go supervisor.Pulse(alive, op.Stuck)
	op.Boot, op.Ready, op.Automatic = o.boot, ready, true
	if !o.boot {
		ready() // the service is ordered after this unit, and must be able to start
	}
	op.Lock = h.lock("the host itself", o.run)
	if left != nil {
		select {
		case <-time.After(phase.Pause(left)):
		case <-ctx.Done():
			return nil
		}
	}
	report, err := phase.Repair(ctx, sequence.All, op)
	if report.ID != "" {
		h.startTelling(context.WithoutCancel(ctx), o.run)
	}
	var back *phase.RolledBack
	switch {
	case errors.As(err, &back) || errors.Is(err, phase.ErrSilent): // as good as it can be
		fmt.Fprintln(os.Stderr, h.app.redactor.String(err.Error()))
		return nil
	case errors.Is(err, phase.ErrAgain):
		fmt.Fprintln(os.Stderr, h.app.redactor.String(err.Error()))
		return exitWith(host.ExitLater)
	}
	return err
}

// goOn holds traffic, and starts the half of a run that comes after the reboot that it asked for.
func (h *server) goOn(ctx context.Context, left *state.Run) error {
	if err := phase.HoldBack(ctx, left); err != nil {
		return err
	}
	argv := []string{h.self, "host", "run", "--id", left.ID, "--who", "the host itself", "--operation", left.Operation, "--resume"}
	if left.Options != "" {
		argv = append(argv, "--options", left.Options)
	}
	return h.service.Resume(ctx, left.ID, argv, h.self+" host recover --run "+left.ID)
}

// said tells whether the run's log has a result.
func (h *server) said(run string) (bool, error) {
	path, err := phase.JournalPath(h.path(phase.JournalDir), run)
	if err != nil {
		return false, err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if e, bad := phase.Decode(line); bad == nil && e.Kind == phase.Result {
			return true, nil
		}
		if err != nil {
			return false, nil
		}
	}
}

// lock takes the host's lock for a run.
func (h *server) lock(who, run string) func(context.Context, string, func(error)) (func() error, error) {
	return func(_ context.Context, why string, lost func(error)) (func() error, error) {
		lock, err := host.TakeLock(h.path(host.LockPath), host.Holder{Who: who, Why: why, Run: run}, lost)
		if err != nil {
			return nil, err
		}
		return lock.Release, nil
	}
}

// write emits events to a run's log.
func (h *server) write(journal *phase.Journal) func(phase.Event) {
	return func(e phase.Event) {
		if e.Kind == phase.End || e.Kind == phase.Failed {
			e.Peak = host.PeakMemory()
		}
		if err := journal.Write(e); err != nil {
			fmt.Fprintf(os.Stderr, "write the log: %v\n", err)
		}
	}
}
