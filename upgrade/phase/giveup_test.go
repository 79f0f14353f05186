package phase

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// stuck is a way back that cannot go on, on a real database; systemctl, journalctl and nft are played.
type stuck struct {
	applied string // what the database has of migrations; empty: it is emptied
	away    bool   // the database
	opened  bool   // users were on the new version
	off     bool   // the service was stopped before the run
	boot    bool
	answers string // the version that the server says it is
	way     bool   // of a rollback by hand
	want    string // of the service in the end: "open" or "shut"; at a boot "held", as systemd may start it
	again   bool
}

func TestGiveUp(t *testing.T) {
	socket, _ := pgtest.Start(t)
	for name, s := range map[string]stuck{
		"verified behind the gate":              {applied: "101", answers: "9.10.0", want: "open"},
		"it was off":                            {applied: "101", answers: "9.10.0", off: true, want: "off"},
		"behind the gate it is another":         {applied: "101", answers: "9.9.9", want: "shut", again: true},
		"behind the gate it has not migrated":   {applied: "100", answers: "9.10.0", want: "shut", again: true},
		"the database is away":                  {away: true, answers: "9.10.0", want: "shut", again: true},
		"the database is away, users were on":   {away: true, opened: true, answers: "9.10.0", want: "open", again: true},
		"users were on it":                      {applied: "101", opened: true, answers: "9.9.9", want: "open"},
		"emptied":                               {answers: "9.10.0", want: "shut", again: true},
		"emptied, users were on it":             {opened: true, answers: "9.10.0", want: "shut", again: true},
		"emptied, at a boot":                    {boot: true, want: "held", again: true},
		"the database is away, at a boot":       {boot: true, away: true, want: "held", again: true},
		"at a boot":                             {boot: true, applied: "101", want: "open"},
		"back by hand, on the newer's database": {applied: "100", answers: "9.10.0", way: true, want: "shut", again: true},
		"back by hand":                          {applied: "99", answers: "9.10.0", way: true, want: "open"},
	} {
		t.Run(name, func(t *testing.T) { s.try(t, socket) })
	}
}

func (s stuck) try(t *testing.T, socket string) {
	name := "mm" + fmt.Sprint(time.Now().UnixNano())
	db, exec := community(t, socket, name)
	before, err := db.AppliedMigrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	switch s.applied {
	case "":
		if err := db.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
	default:
		exec(name, "update db_migrations set version = "+s.applied)
	}
	if s.away {
		name = "nowhere"
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Version-Id", s.answers+"."+s.answers+".0a.false")
		fmt.Fprint(w, `{"status":"OK"}`)
	}))
	defer server.Close()
	calls := play(t, "host="+socket+" user=postgres dbname="+name)
	_, boot := host.Process()
	run := &state.Run{From: "7.7.0", To: "9.10.0", Unit: "mattermost.service", Link: t.TempDir(), BootID: boot, Stopped: true, StoppedAt: time.Now(),
		SchemaBefore: before, SchemaTarget: 101, Address: server.URL, Port: 8065, WasOff: s.off}
	record := &state.State{Run: run}
	if s.way {
		run.Way, run.SchemaTarget, record.Return = WayCheckpoint, 0, &state.Return{Schema: "db_migrations:1:99"}
	}
	if s.opened {
		run.OpenedAt = time.Now()
	}
	if s.boot {
		run.BootID = "another boot"
	}
	why := errors.New("there is no database mm_checkpoint")
	if s.away {
		why = fmt.Errorf("%w: refused", ErrUnreachable)
	}
	op := &Operation{Record: record, Boot: s.boot, Emit: func(Event) {}, Save: func() error { return nil }}
	err = giveUp(t.Context(), op, why)
	if !errors.Is(err, why) || errors.Is(err, ErrAgain) != s.again || run.Again != s.again {
		t.Errorf("again: %v, want %v; %v", run.Again, s.again, err)
	}
	log := calls()
	var ended string
	switch {
	case strings.HasSuffix(log, "nft open\n") && strings.LastIndex(log, "kill") > strings.LastIndex(log, " start"):
		ended = "off"
	case strings.HasSuffix(log, "nft open\n"):
		ended = "open"
	case s.boot && log == "nft close\n":
		ended = "held"
	case strings.Contains(log, "nft close\n") && strings.LastIndex(log, "kill") > strings.LastIndex(log, " start"):
		ended = "shut"
	}
	if ended != s.want || (ended == "shut" || ended == "off") != run.OpenedAt.IsZero() && !s.opened && !s.boot {
		t.Errorf("it is %q, want %q; users since %v:\n%s", ended, s.want, run.OpenedAt, log)
	}
}

// A way back whose time is over ends like any other that cannot go on, and does not wait for a database
// that answers.
func TestSettleOutOfTime(t *testing.T) {
	socket, _ := pgtest.Start(t)
	db, exec := community(t, socket, "late")
	before, err := db.AppliedMigrations(t.Context())
	must(t, err)
	exec("late", "update db_migrations set version = 101")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Version-Id", "9.10.0.9.10.0.0a.false")
		fmt.Fprint(w, `{"status":"OK"}`)
	}))
	defer server.Close()
	calls := play(t, "host="+socket+" user=postgres dbname=late")
	_, boot := host.Process()
	run := &state.Run{From: "7.7.0", To: "9.10.0", Unit: "mattermost.service", Link: t.TempDir(), BootID: boot, Stopped: true, StoppedAt: time.Now(),
		SchemaBefore: before, SchemaTarget: 101, Address: server.URL, Port: 8065, Checkpoint: "late_checkpoint", CheckpointComplete: true}
	op := &Operation{Record: &state.State{Run: run}, Emit: func(Event) {}, Save: func() error { return nil }}
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("the rollback took more than 30m0s")
	cancel(over)
	err = settle(ctx, op)
	if !errors.Is(err, over) || errors.Is(err, ErrAgain) || run.Again || run.OpenedAt.IsZero() {
		t.Errorf("%v, %+v", err, run)
	}
	if log := calls(); !strings.HasSuffix(log, "nft open\n") {
		t.Errorf("it did\n%s", log)
	}
}

// play puts a systemctl, a journalctl and an nft first in PATH that know a service with this data
// source, and do nothing. What returns is what they were told since.
func play(t *testing.T, source string) (calls func() string) {
	t.Helper()
	return playWith(t, "MM_SQLSETTINGS_DATASOURCE="+source)
}

// playWith is play with another setting in the unit.
func playWith(t *testing.T, setting string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	show := "LoadState=loaded\nType=notify\nUser=root\nActiveState=active\nSubState=running\nMainPID=" + fmt.Sprint(os.Getpid()) +
		"\nEnvironment=\"" + setting + "\"\n"
	for name, script := range map[string]string{
		"systemctl":  "if [ \"$1\" = show ]; then cat <<'END'\n" + show + "END\nelse echo \"systemctl $*\" >>" + log + "\nfi\n",
		"journalctl": "",
		"nft":        "if grep -q chain; then echo nft close; else echo nft open; fi >>" + log + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(log) // none where nothing was called
		return string(text)
	}
}

// A database that dies in the middle of the way back is waited for, and the way back goes on.
func TestSettleGoesOnWhereTheDatabaseIsBack(t *testing.T) {
	socket, major := pgtest.Start(t)
	db, exec := community(t, socket, "mm")
	before, err := db.AppliedMigrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tools, err := mattermost.FindTools(t.Context(), host.Run, major)
	if err != nil {
		t.Fatal(err)
	}
	_, boot := host.Process()
	run := &state.Run{From: "7.7.0", To: "9.10.0", Unit: "mattermost.service", Link: t.TempDir(), BootID: boot, Stopped: true, StoppedAt: time.Now(),
		SchemaBefore: before, StoppedDump: filepath.Join(t.TempDir(), "x-stopped.dump")}
	if _, err := db.Dump(t.Context(), tools, run.StoppedDump, nil); err != nil {
		t.Fatal(err)
	}
	exec("mm", "insert into db_migrations values (101)")
	play(t, "host="+socket+" user=postgres dbname=mm")
	exec("postgres", "create role reader superuser login")
	reader, err := pgx.Connect(t.Context(), "host="+socket+" user=reader dbname=mm")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close(context.WithoutCancel(t.Context()))
	tx, err := reader.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "lock posts in access share mode"); err != nil { // the restore waits here
		t.Fatal(err)
	}
	struck := make(chan error, 1)
	go func() {
		const waits = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = 'mm' and wait_event_type = 'Lock'"
		n := 0
		for n == 0 && err == nil {
			err = tx.QueryRow(t.Context(), waits).Scan(&n)
			_, _ = tx.Exec(t.Context(), "select pg_stat_clear_snapshot()")
		}
		struck <- errors.Join(err, tx.Rollback(t.Context()))
	}()
	var warned []string
	op := &Operation{Record: &state.State{Run: run}, Save: func() error { return nil }, Emit: func(e Event) {
		if e.Kind == Warn {
			warned = append(warned, e.Text)
		}
	}}
	if err := errors.Join(settle(t.Context(), op), <-struck); err != nil {
		t.Fatal(err)
	}
	if now, err := db.AppliedMigrations(t.Context()); err != nil || now != before {
		t.Errorf("the database is at %s, %v", now, err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "terminating connection") {
		t.Errorf("it says %q", warned)
	}
}
