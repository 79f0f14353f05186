package phase

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// TestConfigInAnotherDatabase undoes an upgrade where the configuration lives in a database of its own,
// which nothing may touch.
func TestConfigInAnotherDatabase(t *testing.T) {
	ctx := t.Context()
	socket, _ := pgtest.Start(t)
	db, exec := community(t, socket, "mm")
	_, _ = community(t, socket, "mmconfig")
	source := "postgres:///%s?host=" + socket + "&user=postgres"
	exec("mmconfig", "create table configurations (value text, active bool)",
		`insert into configurations values ('{"SqlSettings": {"DataSource": "`+fmt.Sprintf(source, "mm")+`"}}', true)`)
	playWith(t, "MM_CONFIG="+fmt.Sprintf(source, "mmconfig"))
	admin, err := findAdmin(ctx, db)
	must(t, err)
	id, err := db.Identify(ctx)
	must(t, err)
	began := time.Now().Add(-time.Minute)
	_, boot := host.Process()
	run := &state.Run{From: "7.7.0", To: "9.10.0", Unit: "mattermost.service", Link: t.TempDir(), Started: began, StoppedAt: began, BootID: boot, Stopped: true,
		Checkpoint: mattermost.CheckpointName("mm", began), CheckpointComplete: true, Database: state.Database(id)}
	run.SchemaBefore, err = db.AppliedMigrations(ctx)
	must(t, err)
	must(t, admin.Checkpoint(ctx, run.Checkpoint))
	exec("mm", "update db_migrations set version = 101")
	op := &Operation{Record: &state.State{Run: run}, Emit: func(Event) {}, Save: func() error { return nil }}
	must(t, settle(ctx, op))
	must(t, dropFailed(ctx, op))
	if now, err := db.AppliedMigrations(ctx); err != nil || now != run.SchemaBefore {
		t.Errorf("the database is at %s, was at %s (%v)", now, run.SchemaBefore, err)
	}
	exec("mmconfig", "select value from configurations")
	if copies, err := admin.Copies(ctx); err != nil || len(copies) > 0 {
		t.Errorf("left are %v (%v)", copies, err)
	}
}

// serveHere starts the small host's server and finds it as Facts does.
func (h *smallHost) serveHere() {
	h.t.Helper()
	dir := filepath.Join(h.dir, "versions/7.7.0")
	touch(h.t, dir, "config/config.json")
	must(h.t, os.WriteFile(filepath.Join(dir, "config/config.json"), []byte("{}"), 0o600))
	must(h.t, os.WriteFile(filepath.Join(dir, "bin/mattermost"), []byte("#!/bin/sh\necho Build Number: 7.7.0\n"), 0o755))
	must(h.t, os.Chmod(filepath.Join(dir, "bin/mattermost"), 0o755))
	must(h.t, h.op.Save())
	must(h.t, exec.Command(filepath.Join(h.dir, "bin/systemctl"), "start", "mm.service").Run())
	facts, err := mattermost.Discover(h.t.Context(), mattermost.Discovery{Link: h.link, Unit: "mm.service"})
	must(h.t, err)
	facts.Health = h.op.Facts.Health
	h.op.Facts = facts
}

// TestPreflightAsksTheServer: a server that uses another database than its unit names is not upgraded,
// nor backed up, nor one that shares its program; a rollback on another database is refused.
func TestPreflightAsksTheServer(t *testing.T) {
	h := newSmallHost(t)
	_, err := h.conn.Exec(t.Context(), "create database other template chat")
	must(t, err)
	h.serveHere()
	list, err := checkService(t.Context(), h.op)
	if err != nil || len(list) > 0 {
		t.Fatalf("%v, %v", list, err)
	}
	if list, err = checkOthers(t.Context(), h.op); err != nil || len(list) > 0 {
		t.Fatalf("%v, %v", list, err)
	}
	id, err := h.op.Facts.Database.Identify(t.Context())
	must(t, err)
	upgraded := state.Database(id)
	if list, err = checkReturning(t.Context(), h.op, upgraded); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	upgraded.Name = "other"
	if list, err = checkReturning(t.Context(), h.op, upgraded); err != nil || len(list) != 1 || !strings.Contains(list.Error(), "it uses the database chat") {
		t.Errorf("%v, %v", list, err)
	}

	must(t, os.WriteFile(filepath.Join(h.dir, "units"), []byte("Id=second.service\nActiveState=active\nExecStart={ argv[]="+h.link+"/bin/mattermost ; }\n"), 0o644))
	if list, err = checkOthers(t.Context(), h.op); err != nil || len(list) != 1 || list[0].Where != "second.service" {
		t.Errorf("%v, %v", list, err)
	}

	must(t, os.WriteFile(filepath.Join(h.dir, "serves"), []byte("other\n"), 0o644))
	h.serveHere()
	for name, check := range map[string]func() error{
		"upgrade": func() error { list, err := checkService(t.Context(), h.op); return errorsOf(list, err) },
		"backup":  func() error { return backupReady{}.Run(t.Context(), h.op) },
	} {
		if err := check(); err == nil || !strings.Contains(err.Error(), "it uses the database other on") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func errorsOf(list interface{ Err() error }, err error) error {
	if err != nil {
		return err
	}
	return list.Err()
}
