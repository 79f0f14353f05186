package phase

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

// PutBack makes the host what its stack says it should be. Files are kept as they were, and go back if
// a run does not end; packages, accounts and switched units stay, as each is better than none.
func PutBack() []Phase {
	return []Phase{Compare{}, RepairLock{}, RepairPackages{}, RepairFiles{}, RepairServices{}, RepairSite{}, RepairProof{}}
}

// repairedDir keeps files as they were before a repair, by its run.
const repairedDir = state.Dir + "/repaired"

// keepRepaired is how many repairs' files are kept.
const keepRepaired = 5

func (op *Operation) compare(ctx context.Context) (err error) {
	system := op.machine()
	op.Drift, err = drift.Host{System: system}.Compare(ctx, op.Desired, drift.Options{RemoveKeys: op.RemoveKeys, KeepKey: op.KeepKey,
		Changed: op.Changed, Own: op.Own(system.Root)})
	return err
}

// Own returns what a comparison looks at on every server, and the address that the stack says.
func (op *Operation) Own(root string) drift.Own {
	own := drift.OwnOf(root, op.Record, op.Config)
	own.URL = op.URL
	return own
}

// Drift compares the host with want, or without with what it was last told; where there is neither, only
// what this program keeps itself.
func Drift(ctx context.Context, want *state.Desired, o drift.Options) (c *drift.Comparison, err error) {
	if want == nil {
		if want, err = state.LoadDesired(state.DesiredFile); err != nil {
			return nil, err
		}
	}
	return drift.Host{System: system.Host()}.Compare(ctx, want, o)
}

// Compare finds out what differs.
type Compare struct{}

// Title says what a person reads.
func (Compare) Title() string { return "compare the server with its stack" }

// Run fills op.Drift; Done when there is nothing to put back.
func (Compare) Run(ctx context.Context, op *Operation) (err error) {
	if op.Desired == nil {
		if op.Desired, err = state.LoadDesired(state.DesiredFile); err != nil {
			return err
		}
	}
	if err := op.compare(ctx); err != nil {
		return err
	}
	if op.Changed {
		if len(op.Drift.Repairable()) == 0 {
			return Done
		}
		return op.begin(schedule.Drift, time.Time{})
	}
	if err := op.Due(schedule.Drift, Waiting{What: Summary(op.Drift.Differences)}); err != nil {
		return err
	}
	switch {
	case len(op.Drift.Repairable()) > 0:
		return nil
	case op.Desired == nil:
		return problem.List{{Where: "the server", Found: "no stack's configuration has reached it",
			Allowed: "a server whose stack has the output host, as pulumi up makes it", Hint: "bring the stack up to date with pulumi up, then: upgrade repair …"}}
	}
	return Done
}

// Summary returns in a line what differs; it is empty when nothing does.
func Summary(list []drift.Difference) string {
	const most = 3
	var words []string
	for i, d := range list {
		if i == most && len(list) > most+1 {
			words = append(words, fmt.Sprintf("%d more", len(list)-i))
			break
		}
		words = append(words, d.String())
	}
	return strings.Join(words, "; ")
}

// RepairLock takes the host for this run.
type RepairLock struct{}

// Title says what a person reads.
func (RepairLock) Title() string { return "lock the host" }

// Describe says it for a plan.
func (RepairLock) Describe(op *Operation) string { return "nobody else works on this host meanwhile" }

// Run saves what the recovery at a boot comes before.
func (RepairLock) Run(ctx context.Context, op *Operation) error {
	run := state.Run{From: op.Record.Active, Unit: host.GuardedService(op.machine().Root)}
	if op.Drift.Site() != nil { // Mattermost restarts
		if err := (Facts{}).Run(ctx, op); err != nil {
			return err
		}
		run = serviceRun(op.Facts)
	}
	return op.Acquire(ctx, run)
}

// RepairPackages brings what must be there before files have an owner and a place.
type RepairPackages struct{}

// Title says what a person reads.
func (RepairPackages) Title() string { return "bring packages and accounts" }

// Describe says it for a plan.
func (RepairPackages) Describe(op *Operation) string {
	return differing(op.Drift, drift.KindArchive, drift.KindPackage, drift.KindAccount)
}

// differing names the differences of some kinds that are put back.
func differing(c *drift.Comparison, kinds ...drift.Kind) string {
	var names []string
	for _, d := range c.Repairable() {
		for _, kind := range kinds {
			if d.Kind == kind {
				names = append(names, d.Name)
			}
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// Run compares again when packages came: they bring files and units.
func (RepairPackages) Run(ctx context.Context, op *Operation) error {
	op.found = op.Drift.Repairable()
	if op.Drift.Installs() {
		if err := op.machine().Await(ctx, op.blocked); err != nil {
			return err
		}
		if err := op.Drift.Packages(ctx, op.listener()); err != nil {
			return err
		}
	}
	if err := op.Drift.Accounts(ctx); err != nil {
		return err
	}
	if !op.Drift.Installs() {
		return nil
	}
	return op.compare(ctx)
}

// RepairFiles puts files back.
type RepairFiles struct{}

// Title says what a person reads.
func (RepairFiles) Title() string { return "put files back" }

// Describe says it for a plan.
func (RepairFiles) Describe(op *Operation) string {
	return differing(op.Drift, drift.KindDirectory, drift.KindFile, drift.KindKey)
}

// Run keeps what is there, and lets those who read the files prove the new ones before they count.
func (RepairFiles) Run(ctx context.Context, op *Operation) (err error) {
	run := op.Record.Run
	dir := filepath.Join(repairedDir, run.ID)
	kept, err := drift.Host{System: op.machine()}.Keep(dir, op.Drift.Files()...)
	if err != nil {
		return err
	}
	run.Repaired = kept
	if err := op.Save(); err != nil {
		run.Repaired = nil
		return err
	}
	if err := op.Drift.Write(ctx); err != nil {
		return err
	}
	if len(kept) > 0 {
		op.Note("as they were, they are in %s", dir)
	}
	return op.Drift.Prove(ctx)
}

// Undo puts them back as they were. Whoever has read the new ones meanwhile keeps to them until it is
// told again, by the next repair.
func (RepairFiles) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if len(run.Repaired) == 0 {
		return nil
	}
	if err := (drift.Host{System: op.machine()}).Restore(ctx, run.Repaired); err != nil {
		return err
	}
	run.Repaired = nil
	return op.Save()
}

// RepairServices makes what was put back count.
type RepairServices struct{}

// Title says what a person reads.
func (RepairServices) Title() string { return "let services know" }

// Describe says it for a plan.
func (RepairServices) Describe(op *Operation) string {
	return "each reads its files again, without downtime; units to switch: " + differing(op.Drift, drift.KindUnit) +
		"; to grow: " + differing(op.Drift, drift.KindVolume)
}

// Run reloads rather than restarts.
func (RepairServices) Run(ctx context.Context, op *Operation) error {
	notes, err := op.Drift.Tell(ctx)
	for _, n := range notes {
		op.Note("%s", n)
	}
	if err != nil {
		return err
	}
	if err := op.Drift.Units(ctx); err != nil {
		return err
	}
	if err := op.Drift.Grow(ctx); err != nil { // no reason to undo the rest; the comparison names it again
		op.Warn("%v", err)
	}
	return nil
}

// RepairProof compares once more, and makes it final.
type RepairProof struct{}

// Title says what a person reads.
func (RepairProof) Title() string { return "compare again" }

// Describe says it for a plan.
func (RepairProof) Describe(op *Operation) string { return "what still differs is named" }

// Run keeps what was put right, also if something else still differs.
func (RepairProof) Run(ctx context.Context, op *Operation) error {
	if err := op.compare(ctx); err != nil {
		return err
	}
	still := map[string]bool{}
	for _, d := range op.Drift.Repairable() {
		still[d.Name] = true
		op.Warn("%s, still", d)
	}
	for _, d := range op.found {
		if !still[d.Name] {
			op.repaired = append(op.repaired, d.String())
		}
	}
	if err := op.Drift.Follow(); err != nil {
		return err
	}
	run := op.Record.Run
	run.Committed = true
	if err := op.Save(); err != nil {
		run.Committed = false
		return err
	}
	if op.Changed {
		return pruneRepaired(filepath.Join(op.machine().Root, repairedDir))
	}
	_ = op.Due(schedule.Drift, Waiting{What: Summary(op.Drift.Differences)}) // a typed repair is never refused as unattended
	return pruneRepaired(filepath.Join(op.machine().Root, repairedDir))
}

// pruneRepaired keeps the files of the last repairs. A run's id sorts by time.
func pruneRepaired(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	for i := 0; err == nil && i < len(entries)-keepRepaired; i++ {
		err = os.RemoveAll(filepath.Join(dir, entries[i].Name()))
	}
	return err
}
