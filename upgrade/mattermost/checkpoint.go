package mattermost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Admin is a role that may copy and rename the application's database.
type Admin struct {
	*Database           // connected to a database that is not the application's
	app       *Database // the application's, as its own role
	target    string    // its name
	owner     string    // of it
	super     *Database // the superuser on this host, to end what the role may not; nil for a server elsewhere
}

// ErrNoAdmin says that no role at hand may copy the database.
var ErrNoAdmin = errors.New("no role here may create databases")

// ErrNoRoom says that the database's server has no room for a copy.
var ErrNoRoom = errors.New("the database's server has no room for a copy")

// ErrNoCopy is returned when PostgreSQL refuses a copy, or one that would be as the database is.
var ErrNoCopy = errors.New("the database cannot be copied")

// FindAdmin finds a role that may copy app: the one in adminURL, when there is one; the
// application's own, if it may; on this host PostgreSQL's superuser. adminUser is the system user
// that adminURL connects as over a Unix socket.
func FindAdmin(ctx context.Context, app *Database, adminURL, adminUser string) (*Admin, error) {
	var candidates []*Database
	if adminURL != "" {
		d, err := ParseDSN(adminURL, adminUser)
		if err != nil {
			return nil, fmt.Errorf("the administrator's database URL: %w", err)
		}
		candidates = append(candidates, d)
	}
	candidates = append(candidates, app)
	var super *Database
	if app.Local() {
		sockets := "/var/run/postgresql"
		if strings.HasPrefix(app.Host, "/") {
			sockets = app.Host
		}
		d, err := ParseDSN(fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", sockets, app.config.Port), "postgres")
		if err != nil {
			return nil, err
		}
		candidates, super = append(candidates, d), d
	}
	var why []error
	for _, c := range candidates {
		a, err := tryAdmin(ctx, c, app)
		if err == nil {
			a.super = super
			return a, nil
		}
		why = append(why, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrNoAdmin, errors.Join(why...))
}

func tryAdmin(ctx context.Context, role, app *Database) (*Admin, error) {
	var why []error
	target := app.Name
	for _, name := range []string{role.Name, "postgres", "defaultdb", "template1"} {
		if name == target {
			continue // a copy is refused while anyone is connected to what is copied
		}
		on := role.On(name)
		conn, err := on.Connect(ctx)
		if err != nil {
			why = append(why, err)
			continue
		}
		var may bool
		a := &Admin{Database: on, app: app, target: target}
		err = conn.QueryRow(ctx, `select (r.rolsuper or r.rolcreatedb) and (r.rolsuper or pg_has_role(current_user, d.datdba, 'USAGE')), pg_get_userbyid(d.datdba)
			from pg_roles r, pg_database d where r.rolname = current_user and d.datname = $1`, target).Scan(&may, &a.owner)
		conn.Close(ctx)
		switch {
		case err != nil:
			return nil, fmt.Errorf("as %s: %w", role.Role, err)
		case !may:
			return nil, fmt.Errorf("role %s may not", role.Role)
		}
		return a, nil
	}
	return nil, errors.Join(why...)
}

// Checkpoint copies the application's database as name, with its owner, privileges,
// settings, limit of connections and comment.
// Everybody else's connections to it are ended, so the service must be stopped. A half-made copy
// of an earlier attempt is replaced.
func (a *Admin) Checkpoint(ctx context.Context, name string) error {
	return a.clone(ctx, a.target, name)
}

// clone makes name a copy of the database from, which nobody may use meanwhile.
func (a *Admin) clone(ctx context.Context, from, name string) error {
	if !ours(a.target, name) {
		return fmt.Errorf("refusing to copy over database %s: not made by this program", name)
	}
	conn, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := drop(ctx, conn, name); err != nil {
		return err
	}
	var version int
	if err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int").Scan(&version); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	create := fmt.Sprintf("create database %s template %s owner %s", quote(name), quote(from), quote(a.owner))
	if version >= 150000 {
		create += " strategy file_copy" // three times as fast as wal_log; older ones know nothing else
	}
	sharing, err := share(ctx, conn, version)
	if err != nil {
		return err
	}
	// Whatever watches the database may connect again in between: insist for a while.
	deadline := time.Now().Add(10 * time.Second)
	for {
		if err := a.disconnect(ctx, conn, from); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, create)
		if err == nil {
			break
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "53100" { // disk_full; what was copied is gone again
			return fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
		if sharing && !inUse(err) { // a file system that cannot says so only when it is tried
			if _, err := conn.Exec(ctx, "set file_copy_method = copy"); err != nil {
				return fmt.Errorf("copy the database: %w", err)
			}
			sharing = false
			continue
		}
		if inUse(err) && time.Now().After(deadline) {
			return fmt.Errorf("%w: %w", ErrInUse, err)
		}
		if !inUse(err) && pg != nil && pg.Severity == "ERROR" {
			return fmt.Errorf("%w: %w", ErrNoCopy, advised(err))
		}
		if !inUse(err) {
			return fmt.Errorf("copy the database: %w", err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err = a.copySettings(ctx, conn, name); err == nil {
		err = a.sameSchema(ctx, name)
	}
	if err != nil {
		return errors.Join(err, drop(ctx, conn, name))
	}
	return nil
}

// PutBack makes the checkpoint the application's database again, and calls what was there failed.
// Both renames happen or neither. Once it is done, doing it again changes nothing. Both names must be of
// this program's making from the application's database.
func (a *Admin) PutBack(ctx context.Context, checkpoint, failed string) error {
	for _, name := range []string{checkpoint, failed} {
		if !ours(a.target, name) {
			return fmt.Errorf("refusing to exchange database %s for %s: not a copy of it", a.target, name)
		}
	}
	conn, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	deadline := time.Now().Add(20 * time.Second)
	for {
		there, err := exists(ctx, conn, checkpoint)
		if err != nil {
			return err
		}
		if !there {
			if there, err = exists(ctx, conn, failed); err != nil || there {
				return err // done before
			}
			return fmt.Errorf("put the database back: there is no database %s", checkpoint)
		}
		for _, name := range []string{a.target, checkpoint} {
			if err := a.disconnect(ctx, conn, name); err != nil {
				return err
			}
		}
		err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if there, err := exists(ctx, tx, a.target); err != nil {
				return err
			} else if there {
				if _, err := tx.Exec(ctx, fmt.Sprintf("alter database %s rename to %s", quote(a.target), quote(failed))); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, fmt.Sprintf("alter database %s rename to %s", quote(checkpoint), quote(a.target)))
			return err
		})
		if err == nil {
			return nil
		}
		if !inUse(err) || time.Now().After(deadline) {
			return fmt.Errorf("put the database back: %w", err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Drop removes a copy; one that is not there is no error. Only names of our own making are dropped.
func (a *Admin) Drop(ctx context.Context, name string) error {
	conn, err := a.withoutOurs(ctx, name)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// withoutOurs drops the database name, if it is one of our own making, and returns the connection.
func (a *Admin) withoutOurs(ctx context.Context, name string) (*pgx.Conn, error) {
	if !ours(a.target, name) {
		return nil, fmt.Errorf("refusing to drop database %s: not made by this program", name)
	}
	conn, err := a.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err = a.disconnect(ctx, conn, name); err == nil {
		err = drop(ctx, conn, name)
	}
	if err != nil {
		conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// Copies lists the copies of the application's database that this program made, oldest first.
func (a *Admin) Copies(ctx context.Context) ([]string, error) {
	conn, err := a.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "select datname from pg_database")
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !made(a.target, n, CheckpointName, FailedName) })
	slices.SortFunc(names, func(x, y string) int {
		return strings.Compare(x[len(x)-len(stampFormat):], y[len(y)-len(stampFormat):])
	})
	return names, nil
}

// DataDirectory is where the server keeps its files, on this host; empty when nobody here may know.
// Few roles may read the setting; that the server's processes work in that directory root may see.
func (a *Admin) DataDirectory(ctx context.Context) string {
	conn, err := a.Connect(ctx)
	if err != nil {
		return ""
	}
	defer conn.Close(ctx)
	var dir string
	err = conn.QueryRow(ctx, "select setting from pg_settings where name = 'data_directory'").Scan(&dir)
	if err != nil || dir == "" {
		dir, err = os.Readlink(fmt.Sprintf("/proc/%d/cwd", conn.PgConn().PID()))
	}
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); err != nil {
		return ""
	}
	return dir
}

type querier interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}

func exists(ctx context.Context, q querier, name string) (bool, error) {
	var there bool
	if err := q.QueryRow(ctx, "select exists(select 1 from pg_database where datname = $1)", name).Scan(&there); err != nil {
		return false, fmt.Errorf("look for database %s: %w", name, err)
	}
	return there, nil
}

func drop(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, "drop database if exists "+quote(name)); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
