package phase

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// upgradeOf is an upgrade of the small host that fails behind the start of the new version.
func (h *smallHost) upgradeOf() []Phase {
	h.t.Helper()
	config := h.configFile()
	must(h.t, os.MkdirAll(filepath.Dir(config), 0o755))
	must(h.t, os.WriteFile(config, []byte(`{"PasswordSettings": {"MinimumLength": 3}}`), 0o600))
	h.op.Facts.Config = &mattermost.Config{Path: config, Exists: true}
	old, target := filepath.Join(h.dir, "versions/7.7.0"), filepath.Join(h.dir, "versions/9.10.0")
	return []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old, NewTarget: target,
		ConfigPath: config, Address: h.op.Facts.Health.URL, Port: 8065, Migrates: true, SchemaTarget: 101}},
		Stop{}, Checkpoint{}, Swap{}, Start{}, broken{}}
}

// configFile is where the small host's server looks for its configuration.
func (h *smallHost) configFile() string { return filepath.Join(h.dir, "config/config.json") }

// mend is what an operator does in the meantime, to the configuration and whatever else did not work.
func (h *smallHost) mend() {
	h.t.Helper()
	must(h.t, os.WriteFile(h.configFile(), []byte(`{"PasswordSettings": {"MinimumLength": 8}}`), 0o600))
	h.ill.Store(false)
}

// keptMended wants the operator's repair to be there, the service never to have been away for it, and the
// run to be closed.
func (h *smallHost) keptMended(before int, err error) {
	h.t.Helper()
	if err != nil || h.op.Record.Run != nil {
		h.t.Errorf("error %v, record %+v", err, h.op.Record)
	}
	if data, _ := os.ReadFile(h.configFile()); !strings.Contains(string(data), "8") {
		h.t.Errorf("the configuration is %s", data)
	}
	for _, m := range h.commands()[before:] {
		if m.did == "systemctl stop" || m.did == "systemctl kill" || m.did == "gate close" {
			h.t.Errorf("it did %s", m.did)
		}
	}
	if all := h.commands(); all[len(all)-1].did != "gate open" {
		h.t.Errorf("the last is %s", all[len(all)-1].did)
	}
}

// An undo that came to the start of the old version has nothing else to undo: what an operator changes
// from then on stays, whichever way the server comes back to the run.
func TestARepairStays(t *testing.T) {
	for _, name := range []string{"recover", "boot", "apply"} {
		t.Run(name, func(t *testing.T) {
			h := newSmallHost(t)
			phases := h.upgradeOf()
			h.ill.Store(true)
			if _, err := Run(t.Context(), phases, h.op); Code(err) != ExitNotRolledBack {
				t.Fatal(err)
			}
			h.mend()
			before := len(h.commands())
			h.op.Record.Run.PID = 0 // as if another process had been the run
			var err error
			switch name {
			case "recover":
				err = Recover(t.Context(), phases, h.op)
			case "boot":
				h.op.Record.Run.BootID, h.op.Boot = "the boot before", true
				err = Recover(t.Context(), phases, h.op)
			case "apply":
				h.op.Name, h.op.Operations = "backup", map[string]Sequence{"apply": {All: phases}}
				_, err = Run(t.Context(), []Phase{marks("looks", new([]string))}, h.op)
			}
			h.keptMended(before, err)
		})
	}
}

// Where an operator has put the old version on its own database by hand and it serves well, the run is
// closed as it is. Where it does not, it is undone.
func TestARepairByHandStays(t *testing.T) {
	for name, c := range map[string]struct {
		ill, migrated, newer, off, boot bool
		stays                           bool
	}{
		"it serves well":                {stays: true},
		"it does not answer as itself":  {ill: true},
		"its database is not as it was": {migrated: true},
		"the new version serves":        {newer: true},
		"it is off":                     {off: true},
		"the power is cut before":       {off: true, boot: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newSmallHost(t)
			phases := h.upgradeOf()
			killed := errors.New("killed")
			func() {
				defer func() { _ = recover() }()
				h.op.Leave = func() bool { panic(killed) } // as the run that could not undo itself
				_, _ = Run(t.Context(), append(phases[:len(phases)-1:len(phases)-1], interrupted{}), h.op)
			}()
			run := h.op.Record.Run
			if run == nil || !run.Stopped || run.SchemaBefore == "" {
				t.Fatalf("record %+v", run)
			}
			run.PID, h.op.Leave = 0, nil
			h.mend()
			h.ill.Store(c.ill)
			if !c.newer {
				must(t, mattermost.Point(h.link, run.OldTarget))
			}
			if !c.migrated {
				conn, err := h.op.Facts.Database.Connect(t.Context())
				must(t, err)
				_, err = conn.Exec(t.Context(), "delete from db_migrations where version = 101")
				must(t, errors.Join(err, conn.Close(t.Context())))
			}
			if c.off {
				must(t, os.WriteFile(filepath.Join(h.dir, "unit"), []byte("inactive\n"), 0o644))
			}
			if c.boot {
				run.BootID, h.op.Boot = "the boot before", true
				h.op.Ready = func() { _, _ = host.Run(t.Context(), host.Command{Name: "systemctl", Args: []string{"start"}}) }
			}
			before := len(h.commands())
			err := Recover(t.Context(), phases, h.op)
			if c.boot {
				if data, e := os.ReadFile(h.configFile()); err != nil || e != nil || h.op.Record.Run != nil || !strings.Contains(string(data), "8") {
					t.Errorf("error %v, %v, record %+v, configuration %s", err, e, h.op.Record, data)
				}
				return
			}
			if c.stays {
				h.keptMended(before, err)
				return
			}
			killedIt := false
			for _, m := range h.commands()[before:] {
				killedIt = killedIt || m.did == "systemctl kill"
			}
			if !killedIt {
				t.Errorf("it was not undone: %v", err)
			}
		})
	}
}

// interrupted is a step in which the process is ended.
type interrupted struct{ broken }

func (interrupted) Run(context.Context, *Operation) error { return ErrInterrupted }
