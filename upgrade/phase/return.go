package phase

import (
	"maps"
	"time"

	"townsquare/upgrade/state"
)

// rolledBackByHand is the reason on the skip list for a version that a person went back from.
const rolledBackByHand = "rolled back by hand"

// commit saves that the run is done, with what conclude writes into the record. Where that cannot be
// saved the record is what it was: the disk does not know, so nobody may believe it.
func commit(op *Operation, conclude func(*state.State)) error {
	before := *op.Record
	before.Bad = maps.Clone(before.Bad)
	conclude(op.Record)
	op.Record.Run.Committed = true
	err := op.Save()
	if err != nil {
		*op.Record = before
		op.Record.Run.Committed = false
	}
	return err
}

// conclude writes into the record what serves from now on, and how one could go back.
func conclude(record *state.State, run *state.Run) {
	if run.Operation == "restore" {
		concludeRestore(record, run)
		return
	}
	record.Active, record.Previous, record.Return = run.To, run.From, remember(run)
	delete(record.Bad, run.To)
	if run.Way == "" {
		return
	}
	record.Previous, record.Return = "", nil
	leave(record, run)
}

// leave puts the version that a person went back from on the skip list: the next scheduled upgrade
// must not return to it.
func leave(record *state.State, run *state.Run) {
	if record.Bad == nil {
		record.Bad = map[string]state.Bad{}
	}
	record.Bad[run.From] = state.Bad{Since: time.Now().UTC(), Reason: rolledBackByHand, Run: run.ID}
}

// remember is the way back that a run leaves; a first installation leaves none.
func remember(run *state.Run) *state.Return {
	if run.From == "" {
		return nil
	}
	since := run.OpenedAt
	if since.IsZero() {
		since = run.StoppedAt
	}
	back := &state.Return{Run: run.ID, From: run.From, To: run.To, Edition: run.Edition, Dir: run.OldTarget, Since: since,
		Schema: run.SchemaBefore, Migrated: run.Migrates, Plan: run.Plan, Dump: run.StoppedDump, Config: run.ConfigCopy, Database: run.Database}
	if run.AdoptedFrom != "" {
		back.Dir = run.AdoptedFrom
	}
	if run.CheckpointComplete {
		back.Checkpoint = run.Checkpoint
	}
	return back
}
