package phase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// moment is what could be seen of the host when a phase did something, and the record that a power
// cut would have left then.
type moment struct {
	did    string // the command, or "save"
	link   string // where the install path led
	copied bool   // there is a copy of the database
	disk   state.Run
}

// smallHost has the real phases at work on it: a real database, a real link, a record on a real
// disk. Only systemd and the firewall are scripts, which note each command with the record as it is
// on the disk at that moment.
type smallHost struct {
	t        *testing.T
	dir, log string
	link     string
	conn     *pgx.Conn
	moments  []moment
	op       *Operation
	ill      atomic.Bool // the server does not answer as the version that it is
	noFiles  atomic.Bool // it misses its file store
}

const fakeSystemctl = `#!/bin/sh
cd %[1]q || exit 1
case "$*" in *\*.service*) cat units; exit ;; esac
if [ "$1" = show ]; then
	active=$(cat unit)
	echo "LoadState=loaded
Id=mm.service
Type=notify
User=%[2]s
Environment=\"MM_SQLSETTINGS_DATASOURCE=host=%[3]s user=postgres dbname=chat\"
ActiveState=$active
SubState=$active
Result=success
ExecMainStartTimestampMonotonic=1
MainPID=$([ $active = active ] && echo 7)"
	exit
fi
n=$(date +%%s%%N)
{ echo "systemctl $1"; readlink mattermost; cat state.json; } >log/$n
case "$1" in
start)
	case "$(readlink mattermost)" in *9.10.0) psql -Xq -h %[3]q -U postgres -d chat -c 'insert into db_migrations values (101)' ;; esac
	# The server is a process with a connection to its database.
	psql -Xq -h %[3]q -U postgres -d chat -c 'select pg_sleep(600)' </dev/null >/dev/null 2>&1 &
	mkdir -p proc/7
	ln -sfn "$(readlink mattermost)/bin/mattermost" proc/7/exe
	ln -sfn / proc/7/root
	ln -sfn / proc/7/cwd
	ln -sfn /proc/$!/fd proc/7/fd
	ln -sfn /proc/$!/net proc/7/net
	cp /proc/$!/stat proc/7/stat
	cp /proc/uptime proc/uptime
	echo 0::/system.slice/mm.service >proc/7/cgroup
	printf 'bin/mattermost\0' >proc/7/cmdline
	printf 'MM_SQLSETTINGS_DATASOURCE=host=%%s user=postgres dbname=%%s\0' %[3]q "$(cat serves)" >proc/7/environ
	echo active >unit ;;
stop | kill)
	rm -rf proc/7
	echo inactive >unit ;;
esac
`

const fakeNft = `#!/bin/sh
cd %[1]q || exit 1
rules=$(cat)
n=$(date +%%s%%N)
case "$rules" in *reject*) what=close ;; *) what=open ;; esac
{ echo "gate $what"; readlink mattermost; cat state.json; } >log/$n
`

func newSmallHost(t *testing.T) *smallHost {
	socket, _ := pgtest.Start(t)
	h := &smallHost{t: t, dir: t.TempDir()}
	h.log, h.link = filepath.Join(h.dir, "log"), filepath.Join(h.dir, "mattermost")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	touch(t, h.dir, "versions/7.7.0/bin/mattermost", "versions/9.10.0/bin/mattermost", "log/.none", "bin/.none", "unit", "bin/journalctl", "serves", "units", "proc/uptime")
	for name, script := range map[string]string{
		"bin/systemctl": fmt.Sprintf(fakeSystemctl, h.dir, me.Username, socket), "bin/nft": fmt.Sprintf(fakeNft, h.dir),
		"bin/journalctl": "#!/bin/sh\nexit 1\n", "unit": "active\n", "serves": "chat\n", "proc/uptime": "",
	} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		must(t, os.Chmod(filepath.Join(h.dir, name), 0o755))
	}
	t.Setenv("PATH", filepath.Join(h.dir, "bin")+":"+os.Getenv("PATH"))
	must(t, os.Symlink(filepath.Join(h.dir, "versions/7.7.0"), h.link))
	if h.conn, err = pgx.Connect(t.Context(), "host="+socket+" user=postgres dbname=postgres"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.conn.Close(context.Background()) })
	_, err = h.conn.Exec(t.Context(), "create database chat")
	must(t, err)
	chat, err := pgx.Connect(t.Context(), "host="+socket+" user=postgres dbname=chat")
	must(t, err)
	_, err = chat.Exec(t.Context(), "create table db_migrations (version bigint); insert into db_migrations values (100); create table posts (updateat bigint)")
	must(t, errors.Join(err, chat.Close(t.Context())))

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		target, _ := os.Readlink(h.link)
		if h.ill.Load() {
			target = "an other one"
		}
		w.Header().Set("X-Version-Id", "9.10.0."+filepath.Base(target)+".0a.false")
		if h.noFiles.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"database_status":"OK","filestore_status":"UNHEALTHY"}`)
		}
	}))
	t.Cleanup(server.Close)
	db, err := mattermost.ParseDSN("host="+socket+" user=postgres dbname=chat", "")
	must(t, err)
	h.op = &Operation{proc: mattermost.Proc(filepath.Join(h.dir, "proc")), ID: "20261122T010000Z-apply", Name: "apply", Record: &state.State{}, Emit: func(Event) {}, Save: h.save,
		Lock: func(context.Context, string, func(error)) (func() error, error) {
			return func() error { return nil }, nil
		},
		Facts: &mattermost.Installation{Database: db, Unit: &mattermost.Unit{Name: "mm.service", Type: "notify"}, Link: h.link,
			Config: &mattermost.Config{}, Health: mattermost.Health{URL: server.URL}}}
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *smallHost) disk() state.Run {
	s, err := state.Load(filepath.Join(h.dir, "state.json"))
	must(h.t, err)
	if s.Run == nil {
		return state.Run{}
	}
	return *s.Run
}

// save looks at the host before it writes: what is done by then must be in the record of before.
func (h *smallHost) save() error {
	m := moment{did: "save", disk: h.disk()}
	m.link, _ = os.Readlink(h.link)
	must(h.t, h.conn.QueryRow(h.t.Context(), "select exists(select 1 from pg_database where datname like 'chat_checkpoint%')").Scan(&m.copied))
	h.moments = append(h.moments, m)
	return h.op.Record.Save(filepath.Join(h.dir, "state.json"))
}

// commands are the moments that the scripts noted.
func (h *smallHost) commands() (all []moment) {
	files, err := filepath.Glob(filepath.Join(h.log, "[0-9]*"))
	must(h.t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(h.t, err)
		parts := strings.SplitN(string(data), "\n", 3)
		var s state.State
		must(h.t, json.Unmarshal([]byte(parts[2]), &s))
		m := moment{did: parts[0], link: parts[1]}
		if s.Run != nil {
			m.disk = *s.Run
		}
		all = append(all, m)
	}
	return all
}

// begin is Lock, with what the host is.
type begin struct{ run state.Run }

func (begin) ID() string                                     { return "lock" }
func (begin) Title() string                                  { return "lock the host" }
func (b begin) Run(ctx context.Context, op *Operation) error { return op.Acquire(ctx, b.run) }

// broken is a phase that fails once users have been let in.
type broken struct{}

func (broken) ID() string                            { return "watch" }
func (broken) Title() string                         { return "watch" }
func (broken) Run(context.Context, *Operation) error { return errors.New("boom") }

// What a phase changes outside is in the record on the disk before it changes it: forward, and on
// the way back. Then whoever finds the record after a power cut knows what to put back.
func TestTheRecordComesFirst(t *testing.T) {
	h := newSmallHost(t)
	old, target := filepath.Join(h.dir, "versions/7.7.0"), filepath.Join(h.dir, "versions/9.10.0")
	phases := []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old, NewTarget: target,
		Address: h.op.Facts.Health.URL, Port: 8065, Migrates: true, SchemaTarget: 101}},
		Stop{}, Checkpoint{}, Swap{}, Start{}, Verify{}, Open{}, broken{}}
	_, err := Run(t.Context(), phases, h.op)
	var back *RolledBack
	if !errors.As(err, &back) || err.Error() != "boom (rolled back)" {
		t.Fatal(err)
	}
	if link, err := os.Readlink(h.link); err != nil || link != old {
		t.Errorf("leads to %s, %v", link, err)
	}
	forward := true
	var did []string
	for _, m := range h.commands() {
		did = append(did, m.did)
		fine := m.disk.Stopped
		switch {
		case len(did) == 1 && m.did == "systemctl reset-failed":
			fine = true // it changes nothing that must be put back
		case m.did == "systemctl start" && m.link == target:
			fine = m.disk.CheckpointComplete && m.disk.SchemaBefore == "db_migrations:1:100" && m.disk.Step == "start"
		case m.did == "gate open" && forward:
			fine, forward = !m.disk.OpenedAt.IsZero(), false
		}
		if !fine {
			t.Errorf("%s, and the record says %+v", m.did, m.disk)
		}
	}
	want := "systemctl reset-failed, gate close, systemctl stop, systemctl start, gate open, " +
		"gate close, systemctl kill, systemctl stop, systemctl reset-failed, systemctl reset-failed, systemctl start, gate open"
	slices.Sort(did[1:3]) // the gate is closed while the service stops
	if got := strings.Join(did, ", "); got != want {
		t.Errorf("done: %s\nwant: %s", got, want)
	}
	copied, swapped := false, false
	for _, m := range h.moments {
		copied, swapped = copied || m.copied, swapped || m.link == target
		if m.copied && m.disk.Checkpoint == "" {
			t.Errorf("a copy of the database of which the record knows nothing: %+v", m.disk)
		}
		if m.link == target && (!m.disk.Stopped || m.disk.Step == "lock" || m.disk.Step == "stop" || m.disk.Step == "snapshot") {
			t.Errorf("the link was turned while the record was at %q", m.disk.Step)
		}
	}
	if !copied || !swapped {
		t.Errorf("nobody looked while there was a copy (%v) or the new version (%v)", copied, swapped)
	}
}

// A server that is not well after all was put back is open to users all the same: what they write to
// it from then on is there after the next attempt, too.
func TestWhatUsersWriteToAnIllServerStays(t *testing.T) {
	h := newSmallHost(t)
	old, target := filepath.Join(h.dir, "versions/7.7.0"), filepath.Join(h.dir, "versions/9.10.0")
	phases := []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old, NewTarget: target,
		Address: h.op.Facts.Health.URL, Port: 8065, Migrates: true, SchemaTarget: 101}},
		Stop{}, Checkpoint{}, Swap{}, broken{}, Start{}}
	h.ill.Store(true)
	_, err := Run(t.Context(), phases, h.op)
	var not *NotRolledBack
	if !errors.As(err, &not) {
		t.Fatal(err)
	}
	for _, m := range h.commands() {
		if m.did == "gate open" && m.disk.OpenedAt.IsZero() {
			t.Error("the gate opened, and the record did not know")
		}
	}
	h.post("1")
	h.ill.Store(false)
	h.op.Record.Run.PID = 0 // as if another process had been the run
	must(t, Recover(t.Context(), phases, h.op))
	if got := h.post("2"); got != 2 {
		t.Errorf("%d posts are there, want 2", got)
	}
}

// Users are not kept waiting for a file store that was full before the old version came back.
func TestBackWithoutItsFiles(t *testing.T) {
	h := newSmallHost(t)
	old := filepath.Join(h.dir, "versions/7.7.0")
	phases := []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old,
		Address: h.op.Facts.Health.URL, Port: 8065}}, Stop{}, broken{}}
	h.noFiles.Store(true)
	report, err := Run(t.Context(), phases, h.op)
	var back *RolledBack
	if !errors.As(err, &back) || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "its file store is UNHEALTHY") {
		t.Errorf("error %v, warnings %q", err, report.Warnings)
	}
	if report.Downtime > oldTries {
		t.Errorf("away for %v", report.Downtime)
	}
}

// A run is rolled back only when the migrations were read of the database that the old version uses again.
func TestBackOnAnotherDatabase(t *testing.T) {
	h := newSmallHost(t)
	_, err := h.conn.Exec(t.Context(), "create database other template chat")
	must(t, err)
	old := filepath.Join(h.dir, "versions/7.7.0")
	phases := []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old,
		Address: h.op.Facts.Health.URL, Port: 8065}}, Stop{}, broken{}}
	must(t, os.WriteFile(filepath.Join(h.dir, "serves"), []byte("other\n"), 0o644))
	_, err = Run(t.Context(), phases, h.op)
	var not *NotRolledBack
	if !errors.As(err, &not) || !strings.Contains(err.Error(), "it uses the database other on") {
		t.Errorf("got %v", err)
	}
}

// What was stopped before the upgrade is stopped after it, and what ran runs.
func TestOffStaysOff(t *testing.T) {
	for _, off := range []bool{true, false} {
		h := newSmallHost(t)
		old, target := filepath.Join(h.dir, "versions/7.7.0"), filepath.Join(h.dir, "versions/9.10.0")
		if off {
			must(t, os.WriteFile(filepath.Join(h.dir, "unit"), []byte("inactive\n"), 0o644))
		}
		phases := []Phase{begin{state.Run{From: "7.7.0", To: "9.10.0", Unit: "mm.service", Link: h.link, OldTarget: old, NewTarget: target,
			Address: h.op.Facts.Health.URL, Port: 8065, Migrates: true, SchemaTarget: 101}},
			Stop{}, Checkpoint{}, Swap{}, Start{}, Verify{}, Open{}, stay{}}
		_, err := Run(t.Context(), phases, h.op)
		must(t, err)
		unit, err := os.ReadFile(filepath.Join(h.dir, "unit"))
		if is := strings.TrimSpace(string(unit)) == "inactive"; err != nil || is != off {
			t.Errorf("it was off: %v; now it is %s (%v)", off, unit, err)
		}
	}
}

// stay is the end of Commit that concerns the service.
type stay struct{}

func (stay) ID() string    { return "stay" }
func (stay) Title() string { return "commit" }
func (stay) Run(ctx context.Context, op *Operation) error {
	stopAgain(ctx, op)
	return nil
}

// post writes a post as a user does, and says how many there are then.
func (h *smallHost) post(at string) (n int) {
	conn, err := h.op.Facts.Database.Connect(h.t.Context())
	must(h.t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(h.t.Context(), "insert into posts values ("+at+")")
	must(h.t, err)
	must(h.t, conn.QueryRow(h.t.Context(), "select count(*) from posts").Scan(&n))
	return n
}
