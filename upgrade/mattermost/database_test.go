package mattermost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func TestDatabase(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create role upgrader login createdb", "grant app to upgrader", "create role stranger login")

	// Each gets a database of its own, so that one's end is not the next one's beginning.
	fresh := func(t *testing.T) *Database {
		name := strings.ToLower(strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()))
		root.sql(t, "create database "+name+" owner app", "alter database "+name+" set search_path = \"$user\", public",
			"alter database "+name+" set work_mem = '8MB'", "revoke all on database "+name+" from public", "grant connect on database "+name+" to stranger")
		app := s.as(t, "app", name)
		fill(t, app)
		return app
	}
	admin := func(t *testing.T, app *Database) *Admin {
		a, err := FindAdmin(t.Context(), app, "postgres:///"+app.Name+"?host="+s.dir+"&user=upgrader", "")
		if err != nil {
			t.Fatal(err)
		}
		if a.Role != "upgrader" || a.Name == app.Name {
			t.Fatalf("admin is %s on %s", a.Role, a.Name)
		}
		return a
	}

	t.Run("inspect", func(t *testing.T) {
		app := fresh(t)
		got, err := app.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Owner != "app" || got.Migrations != "db_migrations:100:100" || got.Last != 100 || got.Tables != 6 || got.Empty() || got.Bytes == 0 || got.Heap == 0 {
			t.Errorf("%+v", got)
		}
		if LastMigration(got.Migrations) != 100 || LastMigration("") != 0 {
			t.Error("LastMigration is wrong")
		}
		if skew, err := app.ClockSkew(t.Context()); err != nil || skew.Abs() > time.Minute {
			t.Errorf("skew %s, %v", skew, err)
		}
	})

	t.Run("busy", func(t *testing.T) {
		ctx, app := t.Context(), fresh(t)
		look := app.Watch()
		defer look.Close(ctx)
		server, somebody := connect(t, app), connect(t, s.as(t, "postgres", app.Name))
		if _, err := server.Exec(ctx, "select 1"); err != nil {
			t.Fatal(err)
		}
		if !look.Busy(ctx) {
			t.Error("a server that has just asked something is not at work")
		}
		lock, err := somebody.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lock.Exec(ctx, "lock table posts in access share mode"); err != nil {
			t.Fatal(err)
		}
		altered := make(chan error, 1)
		go func() {
			_, err := server.Exec(ctx, "alter table posts add column fountain int")
			altered <- err
		}()
		time.Sleep(2500 * time.Millisecond)
		if look.Busy(ctx) {
			t.Error("a server that waits for a lock is at work")
		}
		if err := errors.Join(lock.Rollback(ctx), <-altered); err != nil {
			t.Fatal(err)
		}
		if !look.Busy(ctx) {
			t.Error("a server that has its lock is not at work")
		}
	})

	t.Run("checkpoint", func(t *testing.T) {
		app := fresh(t)
		a := admin(t, app)
		at := time.Now()
		name, failed := CheckpointName(app.Name, at), FailedName(app.Name, at)
		// Somebody is still connected, and an earlier attempt was cut off.
		visitor, err := app.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer visitor.Close(t.Context())
		a.sql(t, "create database "+name)
		settings := "select string_agg(x::text, ' ' order by x::text) from (select unnest(setconfig) x from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase where datname = current_database()) y"
		access := "select datacl::text || pg_get_userbyid(datdba) from pg_database where datname = current_database()"
		settingsBefore, accessBefore := app.one(t, settings), app.one(t, access)
		if err := a.Checkpoint(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		migrate(t, app)
		for range 2 {
			if err := a.PutBack(t.Context(), name, failed); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := app.AppliedMigrations(t.Context()); err != nil || got != "db_migrations:100:100" {
			t.Errorf("migrations are %s, %v", got, err)
		}
		if got := app.one(t, settings); got != settingsBefore {
			t.Errorf("settings are %s, were %s", got, settingsBefore)
		}
		if got := app.one(t, access); got != accessBefore {
			t.Errorf("privileges are %s, were %s", got, accessBefore)
		}
		if got := s.as(t, "app", failed).one(t, "select max(version)::text from db_migrations"); got != "101" {
			t.Errorf("the failed database is at %s", got)
		}
		copies, err := a.Copies(t.Context())
		if err != nil || cmp.Diff([]string{failed}, copies) != "" {
			t.Errorf("copies: %v, %v", copies, err)
		}
		if err := errors.Join(a.Drop(t.Context(), failed), a.Drop(t.Context(), failed)); err != nil {
			t.Error(err)
		}
		if err := a.Drop(t.Context(), app.Name); err == nil || !strings.Contains(err.Error(), "refusing") {
			t.Errorf("dropping the application's own database: %v", err)
		}
		// As where the unit names another database by now than when the copy was made.
		foreign := CheckpointName("elsewhere", at)
		a.sql(t, "create database "+foreign)
		for what, err := range map[string]error{"exchanged for": a.PutBack(t.Context(), foreign, failed), "copied to": a.Checkpoint(t.Context(), foreign),
			"kept as": a.PutBack(t.Context(), name, FailedName("elsewhere", at))} {
			if err == nil || !strings.Contains(err.Error(), "refusing") {
				t.Errorf("%s another database's copy: %v", what, err)
			}
		}
		if there, err := a.Exists(t.Context(), foreign); err != nil || !there {
			t.Errorf("another database's copy is gone (%v)", err)
		}
		if err := a.PutBack(t.Context(), name, failed); err == nil {
			t.Error("putting back what is not there: no error")
		}
	})

	t.Run("dump", func(t *testing.T) {
		app := fresh(t)
		path := filepath.Join(t.TempDir(), "dumps", "run.dump")
		rows, err := app.Dump(t.Context(), s.tools, path, nil)
		if err != nil || rows != 100+500+2+1+2 {
			t.Fatalf("%d rows, %v", rows, err)
		}
		migrate(t, app)
		before := app.one(t, "select current_database()")
		for range 2 {
			if err := app.RestoreDump(t.Context(), s.tools, path); err != nil {
				t.Fatal(err)
			}
		}
		got, err := app.Inspect(t.Context())
		if err != nil || got.Migrations != "db_migrations:100:100" || got.Tables != 6 || before != app.Name {
			t.Errorf("%+v, %v", got, err)
		}
		if n := app.one(t, "select count(*)::text from posts where message like 'line 1%'"); n != "500" {
			t.Errorf("%s posts", n)
		}
		// A dump that lost its end, or was damaged, is no dump.
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{"public.posts": 500}
		for name, bad := range map[string][]byte{"cut": data[:len(data)*2/3], "empty": nil} {
			broken := path + "." + name
			if err := os.WriteFile(broken, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := verifyDump(t.Context(), s.tools, broken, want); err == nil {
				t.Errorf("a dump that is %s is taken", name)
			}
		}
		want["public.posts"] = 501
		if err := verifyDump(t.Context(), s.tools, path, want); err == nil || !strings.Contains(err.Error(), "public.posts has 500 rows in the dump and 501") {
			t.Errorf("a missing row: %v", err)
		}
	})

	t.Run("written", func(t *testing.T) {
		app := fresh(t)
		opened := time.UnixMilli(5000)
		if got, err := app.Written(t.Context(), opened); err != nil || len(got) != 0 {
			t.Errorf("nothing was written: %v, %v", got, err)
		}
		app.sql(t, "update users set updateat = 6000 where id = 'robot'", "insert into posts (updateat) values (4999), (5000), (6000)")
		got, err := app.Written(t.Context(), opened)
		if err != nil || cmp.Diff(map[string]int{"posts": 2}, got) != "" {
			t.Errorf("got %v, %v", got, err)
		}
	})

	t.Run("orphans", func(t *testing.T) {
		app := fresh(t)
		migrate(t, app)
		orphan, err := app.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer orphan.Close(t.Context())
		if err := app.ClearOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := orphan.Exec(t.Context(), "select 1"); err == nil {
			t.Error("the orphan lives")
		}
		if n := app.one(t, "select count(*)::text from db_lock"); n != "0" {
			t.Errorf("%s locks", n)
		}
	})

	t.Run("configuration in the database", func(t *testing.T) {
		app := fresh(t)
		app.sql(t, "create table configurations (id text, value text, active bool)",
			`insert into configurations values ('a', '{"ServiceSettings": {"ListenAddress": ":1"}}', null), ('b', '{"ServiceSettings": {"ListenAddress": ":2"}}', true)`)
		c := findConfig(&Unit{Args: []string{"mattermost", "--config", "postgres:///" + app.Name + "?host=" + s.dir + "&user=app"}}, "/nowhere")
		db, err := ParseDSN(c.source, "")
		if err != nil || !c.InDatabase {
			t.Fatalf("%+v, %v", c, err)
		}
		if err := c.readFromDatabase(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if got := c.String("ServiceSettings.ListenAddress"); got != ":2" || c.Path != "" {
			t.Errorf("listens on %q", got)
		}
	})

	t.Run("nobody may", func(t *testing.T) {
		app := fresh(t)
		// The superuser's socket is looked for too, and that is how tests connect: hide it.
		foreign := *app
		foreign.Host = "db.example.org"
		if _, err := FindAdmin(t.Context(), &foreign, "", ""); !errors.Is(err, ErrNoAdmin) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("grant", func(t *testing.T) {
		// As a managed service has it: the administrator owns the database and is no superuser.
		root.sql(t, "create role doadmin login createdb createrole", "create role mm login", "grant mm to doadmin with admin option",
			"create database managed owner doadmin")
		mm, doadmin := s.as(t, "mm", "managed"), s.as(t, "doadmin", "managed")
		if may, err := mm.MayCreate(t.Context()); err != nil || may {
			t.Fatalf("may create: %v, %v", may, err)
		}
		for range 2 {
			if err := mm.Grant(t.Context(), doadmin); err != nil {
				t.Fatal(err)
			}
		}
		fill(t, mm)
		// And where it may not even give it away, privileges must do.
		root.sql(t, "create database foreign_db owner stranger")
		if err := s.as(t, "mm", "foreign_db").Grant(t.Context(), s.as(t, "upgrader", "foreign_db")); err == nil {
			t.Error("a role without rights gave some")
		}
	})
}

func TestParseDSN(t *testing.T) {
	_, err := ParseDSN("postgres://mm:p%40ss@db.example.org/chat?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "mattermost")
	if err == nil || !strings.Contains(err.Error(), "/nowhere/ca.pem") || strings.Contains(err.Error(), "ss@") {
		t.Errorf("a CA that is not there: %v", err)
	}
	d, err := ParseDSN("postgres://mm:p%40ss@db.example.org:25060/chat?sslmode=require&binary_parameters=yes", "mattermost")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PGHOST=db.example.org", "PGPORT=25060", "PGUSER=mm", "PGDATABASE=chat", "PGPASSWORD=p@ss", "PGCONNECT_TIMEOUT=10", "PGAPPNAME=townsquare", "LC_ALL=C", "PGSSLMODE=require"}
	if diff := cmp.Diff(want, d.env); diff != "" {
		t.Error(diff)
	}
	if d.Local() || d.On("other").Name != "other" || d.Name != "chat" {
		t.Errorf("%+v", d)
	}
	d, err = ParseDSN("host=/run/pg user=mm dbname=chat binary_parameters=yes connect_timeout=10", "mattermost")
	if err != nil || !d.Local() || d.Host != "/run/pg" || d.Name != "chat" {
		t.Errorf("%+v, %v", d, err)
	}
	// A password may hold blanks and quotes where the value is quoted.
	d, err = ParseDSN(`host = '127.0.0.1' user=mm password='it\'s a \\ secret' dbname='our chat' sslmode = 'disable'`, "mattermost")
	if err != nil || d.Name != "our chat" || !slices.Contains(d.env, `PGPASSWORD=it's a \ secret`) || !slices.Contains(d.env, "PGSSLMODE=disable") {
		t.Errorf("%+v, %v", d, err)
	}
	for _, bad := range []string{"host=/run/pg password='secret", "host=/run/pg secret", "mm:secret@tcp(localhost:3306)/mm", "postgres://u:sec ret%zz@h/d"} {
		if _, err := ParseDSN(bad, ""); err == nil || strings.Contains(err.Error(), "sec") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNames(t *testing.T) {
	at := time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC)
	long := strings.Repeat("x", 63)
	for database, want := range map[string]string{"mattermost": "mattermost_checkpoint_20261122013000", long: long[:37] + "_checkpoint_20261122013000"} {
		got := CheckpointName(database, at)
		if len(got) > maxName || (database == "mattermost" && got != want) {
			t.Errorf("%q", got)
		}
		if !ours(database, got) || !ours(database, FailedName(database, at)) || ours(database, database) || ours("other", got) {
			t.Errorf("ours is wrong about %q", got)
		}
	}
}

func TestCopyCounter(t *testing.T) {
	text := "--\nCOPY public.posts (id, message) FROM stdin;\n1\ta\n2\t" + strings.Repeat("long", 1000) + "\n\\.\n\nCOPY public.\"Odd Name\" (a) FROM stdin;\n\\.\n--\n-- PostgreSQL database dump complete\n--\n\n"
	for _, step := range []int{1, 7, len(text)} {
		c := &copyCounter{rows: map[string]int64{}}
		for rest := text; rest != ""; rest = rest[min(step, len(rest)):] {
			if n, err := c.Write([]byte(rest[:min(step, len(rest))])); err != nil || n != min(step, len(rest)) {
				t.Fatal(n, err)
			}
		}
		if diff := cmp.Diff(map[string]int64{"public.posts": 2, `public."Odd Name"`: 0}, c.rows); diff != "" || !c.complete {
			t.Errorf("by %d bytes: complete %v, %s", step, c.complete, diff)
		}
	}
}

// connect opens a connection that is not ours, such as the server's.
func connect(t *testing.T, db *Database) *pgx.Conn {
	t.Helper()
	conn, err := db.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "set application_name = ''"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// What to type about a database that does not answer fits where it is.
func TestHintOfADatabase(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres:///mattermost?host=/var/run/postgresql&user=mattermost":      "systemctl status postgresql; journalctl -u mattermost.service",
		"postgres://mattermost:secret@private-db.example.org:25060/mattermost": "pg_isready -h private-db.example.org -p 25060; journalctl -u mattermost.service",
	} {
		db, err := ParseDSN(dsn, "mattermost")
		if err != nil {
			t.Fatal(err)
		}
		if got := db.hint("mattermost.service"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
