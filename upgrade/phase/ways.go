package phase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// The ways back to the version before.
const (
	WayDowngrade  = "downgrade"  // the newer version takes its migrations back: what people wrote stays
	WayCheckpoint = "checkpoint" // the copy of the database from before the upgrade
)

// Way is one way back, and what would be lost on it.
type Way struct {
	Name     string         `json:"way"`
	To       string         `json:"to"`                 // the version that it leads to
	What     string         `json:"what"`               // one line
	Keeps    bool           `json:"keeps"`              // everything that people wrote
	Since    time.Time      `json:"since,omitzero"`     // what was written from here on is lost
	Loses    map[string]int `json:"loses,omitempty"`    // of it, as counted in the database
	Drops    map[string]int `json:"drops,omitempty"`    // rows of tables that only the newer version knows
	Warnings []string       `json:"warnings,omitempty"` // what somebody should know who goes it
	Problems problem.List   `json:"problems,omitempty"` // why it cannot be gone
}

// Lost says in words what is lost on it.
func (w Way) Lost() string {
	switch {
	case !w.Keeps:
		return "everything since " + w.Since.Local().Format(time.DateTime) + ": " + list(w.Loses)
	case len(w.Drops) > 0:
		return "what only the newer version knows: " + list(w.Drops)
	default:
		return "nothing that people wrote"
	}
}

// FindWays finds the ways back to the version before, and counts what would be lost on each.
type FindWays struct{}

// Title says what a person reads.
func (FindWays) Title() string { return "find the ways back" }

// Run fills op.Ways, and op.Choice with the version that the way leads to; as long as none is
// chosen, with the version before. With a way asked for that cannot be gone, it says why.
func (FindWays) Run(ctx context.Context, op *Operation) error {
	none := noReturn(op)
	if len(none) == 0 {
		if err := returnWays(ctx, op); err != nil {
			return err
		}
	}
	if op.Facts.Installed() {
		backups, err := backupWays(ctx, op)
		if err != nil {
			return err
		}
		op.Ways = append(op.Ways, backups...)
	}
	if len(op.Ways) == 0 {
		return none
	}
	way := &op.Ways[0]
	if op.Way != "" {
		if way = op.way(); way == nil {
			return append(problem.List{{Where: "--way", Found: op.Way, Allowed: "one of: " + strings.Join(wayNames(op.Ways), ", ")}}, none...)
		}
		for _, w := range way.Warnings {
			op.Warn("%s", w)
		}
	}
	to, err := release.Parse(way.To)
	if err != nil {
		return err
	}
	target := &release.Release{Version: to, Edition: op.Facts.Edition, Arch: op.Arch}
	op.Choice = release.Choice{Target: target, Next: target}
	if op.Way != "" {
		return way.Problems.Err()
	}
	return nil
}

// returnWays are those by what the last upgrade kept on this host.
func returnWays(ctx context.Context, op *Operation) error {
	back := op.Record.Return
	to, err := release.Parse(back.From)
	if err != nil {
		return err
	}
	down, err := downgradeWay(ctx, op, to)
	if err != nil {
		return err
	}
	op.Ways = []Way{down}
	if !back.Migrated {
		return nil
	}
	copied, err := checkpointWay(ctx, op)
	op.Ways = append(op.Ways, copied)
	return err
}

// way is the one that was asked for.
func (op *Operation) way() *Way {
	for i, w := range op.Ways {
		_, isBackup := backupOf(w.Name)
		if w.Name == op.Way || isBackup && (op.Way == WayBackup || strings.HasPrefix(w.Name, op.Way) && strings.HasPrefix(op.Way, WayBackup+"=")) {
			return &op.Ways[i]
		}
	}
	return nil
}

func wayNames(ways []Way) []string {
	var names []string
	for _, w := range ways {
		names = append(names, w.Name)
	}
	return names
}

// noReturn says why there is nothing to go back to.
func noReturn(op *Operation) problem.List {
	f, back := op.Facts, op.Record.Return
	refuse := func(found, allowed, hint string) problem.List {
		return problem.List{{Where: "the version before", Found: found, Allowed: allowed, Hint: hint}}
	}
	switch {
	case !f.Installed():
		return refuse("nothing is installed", "an upgrade to go back from", "upgrade apply …")
	case back == nil:
		return refuse("none is kept: the last run on this server was not an upgrade that was kept", "the version before the last upgrade", "upgrade history …")
	case back.To != f.Version.String():
		return refuse(fmt.Sprintf("what is kept is from before %s, and %s is installed", back.To, f.Version), "an installation that was not changed by hand since", "upgrade history …")
	case op.To != "" && op.To != back.From:
		return problem.List{{Where: "--to", Found: op.To, Allowed: back.From + ", the version before, or one of which there is a backup"}}
	case back.Edition != string(f.Edition):
		return refuse(fmt.Sprintf("it is of the %s edition, and %s is installed", back.Edition, f.Edition), "the same edition: the other hides messages", "")
	}
	if _, err := os.Stat(filepath.Join(back.Dir, "bin", "mattermost")); err != nil {
		return refuse(err.Error(), "the program of "+back.From, "sudo ls -la "+back.Dir)
	}
	return nil
}

func downgradeWay(ctx context.Context, op *Operation, to release.Version) (Way, error) {
	f, back := op.Facts, op.Record.Return
	w := Way{Name: WayDowngrade, To: back.From, Keeps: true}
	if !back.Migrated {
		w.What = fmt.Sprintf("%s and %s have the same database: only the program changes", back.From, back.To)
		if f.Schema.Migrations != back.Schema {
			w.Problems = problem.List{{Where: "database", Found: "it is at " + f.Schema.Migrations, Allowed: back.Schema + ", which " + back.From + " needs"}}
		}
		return w, nil
	}
	w.What = fmt.Sprintf("%s takes its changes of the database back (db downgrade)", back.To)
	if release.FarBack(f.Version, to) {
		w.Warnings = append(w.Warnings, "the vendor does not recommend going back by more than one major version; the old version is tried on a copy first")
	}
	w.Problems = release.Back(f.Version, to)
	if back.Plan == "" {
		w.Problems = append(w.Problems, problem.Problem{Where: "db downgrade", Found: back.To + " made no plan at the upgrade", Allowed: "another way back"})
		return w, nil
	}
	tables, err := mattermost.NewTables(back.Plan)
	if errors.Is(err, os.ErrNotExist) {
		w.Problems = append(w.Problems, problem.Problem{Where: back.Plan, Found: "missing", Allowed: "the plan that was saved at the upgrade, or another way back"})
		return w, nil
	}
	if err != nil {
		return w, err
	}
	w.Drops, err = f.Database.CountRows(ctx, tables)
	return w, err
}

func checkpointWay(ctx context.Context, op *Operation) (Way, error) {
	f, back := op.Facts, op.Record.Return
	w := Way{Name: WayCheckpoint, To: back.From, What: "the copy of the database from before the upgrade takes its place", Since: back.Since}
	missing := func(what string) {
		w.Problems = problem.List{{Where: "copy from before the upgrade", Found: what, Allowed: "another way back"}}
	}
	switch {
	case back.Checkpoint != "":
		admin, err := findAdmin(ctx, f.Database)
		if err != nil {
			missing(err.Error())
			break
		}
		there, err := admin.Exists(ctx, back.Checkpoint)
		if err != nil {
			return w, err
		}
		if !there {
			missing("database " + back.Checkpoint + " is gone")
		}
	case back.Dump != "":
		if _, err := os.Stat(back.Dump); err != nil {
			missing(err.Error())
		}
	default:
		missing("none was made")
	}
	var err error
	w.Loses, err = f.Database.Written(ctx, back.Since)
	return w, err
}

// backConfig is the configuration for going back.
func backConfig(back *state.Return, user, path string) ([]byte, error) {
	now, err := mattermost.ReadConfig(user, path)
	if err != nil || back.Config == "" {
		return now, err
	}
	was, err := os.ReadFile(back.Config)
	if errors.Is(err, os.ErrNotExist) {
		return now, nil
	}
	if err != nil {
		return nil, err
	}
	return mattermost.MergeConfig(was, now)
}
