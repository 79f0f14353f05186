package mattermost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/internal/untrusted"
)

// Database is a PostgreSQL database as one role reaches it.
type Database struct {
	Name   string
	Role   string
	Host   string // a name, an address, or the directory of a Unix socket
	OSUser string // whom a Unix socket without a password must see; empty means ourselves
	config *pgx.ConnConfig
	env    []string // the same for PostgreSQL's own programs
	dsn    string   // the same for the server
}

// ErrNotPostgres says that the installation runs on a database we do not handle.
var ErrNotPostgres = errors.New("not a PostgreSQL database")

// ParseDSN reads Mattermost's SqlSettings.DataSource: a postgres:// URL, or key=value words, with
// options of the server's own driver that PostgreSQL does not know. Over a Unix socket without a
// password the connection is made as osUser, as peer authentication demands. Errors never carry
// the DSN, which holds a password.
func ParseDSN(dsn, osUser string) (*Database, error) {
	var clean string
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		u, err := url.Parse(dsn)
		if err != nil {
			return nil, errors.New("the database URL does not parse: special characters in its password must be percent-encoded")
		}
		q := u.Query()
		q.Del("binary_parameters") // lib/pq's own
		u.RawQuery = encodeQuery(q)
		clean = u.String()
	} else if !strings.Contains(dsn, "=") {
		return nil, fmt.Errorf("%w: the data source is neither a postgres:// URL nor key=value words", ErrNotPostgres)
	} else {
		words, err := parseWords(dsn)
		if err != nil {
			return nil, err
		}
		clean = joinWords(slices.DeleteFunc(words, func(w word) bool { return w.key == "binary_parameters" }))
	}
	for _, kv := range tlsEnv(clean) {
		if path, ok := strings.CutPrefix(kv, "PGSSLROOTCERT="); ok {
			if _, err := os.Stat(path); err != nil {
				return nil, fmt.Errorf("the database URL's sslrootcert: %w", err)
			}
		}
	}
	config, err := pgx.ParseConfig(clean)
	if err != nil {
		// pgx redacts passwords, but not those it could not find in a URL that is broken.
		return nil, errors.New("the database URL is not one that PostgreSQL accepts")
	}
	d := &Database{Name: config.Database, Role: config.User, Host: config.Host, config: config, dsn: dsn}
	options := toolOptions(config.RuntimeParams)
	config.ConnectTimeout = 10 * time.Second
	config.RuntimeParams["application_name"] = "townsquare"
	socket := strings.HasPrefix(config.Host, "/")
	if socket && config.Password == "" && osUser != "" && os.Geteuid() == 0 {
		d.OSUser = osUser
		config.DialFunc = dialAs(osUser)
	}
	d.env = []string{"PGHOST=" + config.Host, "PGPORT=" + strconv.Itoa(int(config.Port)), "PGUSER=" + config.User,
		"PGDATABASE=" + config.Database, "PGPASSWORD=" + config.Password, "PGCONNECT_TIMEOUT=10", "PGAPPNAME=townsquare", "LC_ALL=C"}
	if options != "" {
		d.env = append(d.env, "PGOPTIONS="+options)
	}
	if !socket {
		d.env = append(d.env, tlsEnv(clean)...)
	}
	return d, nil
}

// dialAs opens a Unix socket as another user: PostgreSQL's peer authentication reads the effective
// user of the thread that connects, at that moment.
func dialAs(name string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = untrusted.As(name, func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}
}

// Connect opens one connection; the caller closes it.
func (d *Database) Connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, d.config)
	if err != nil {
		return nil, fmt.Errorf("connect to database %s on %s as %s: %w", d.Name, d.Host, d.Role, err)
	}
	return conn, nil
}

// On is the same server and role with another database.
func (d *Database) On(name string) *Database {
	other := *d
	other.Name = name
	other.config = d.config.Copy()
	other.config.Database = name
	other.dsn = dsnFor(d.dsn, name, "")
	other.env = append([]string(nil), d.env...)
	for i, kv := range other.env {
		if strings.HasPrefix(kv, "PGDATABASE=") {
			other.env[i] = "PGDATABASE=" + name
		}
	}
	return &other
}

// DataSource is what the server's configuration says to reach it; it holds a password.
func (d *Database) DataSource() string { return d.dsn }

// Local says whether the server runs on this host, so that its files share this host's disks.
func (d *Database) Local() bool {
	if strings.HasPrefix(d.Host, "/") || d.Host == "localhost" {
		return true
	}
	ip := net.ParseIP(d.Host)
	return ip != nil && ip.IsLoopback()
}

// hint is what to type on the server where the database does not answer.
func (d *Database) hint(unit string) string {
	look := "systemctl status postgresql"
	if !d.Local() {
		look = fmt.Sprintf("pg_isready -h %s -p %d", d.Host, d.config.Port)
	}
	return look + "; journalctl -u " + unit
}

// Schema is what the database holds.
type Schema struct {
	Name       string // of the schema in which the role has its tables; empty when its search_path names none that is there
	SearchPath string // of the role, wherever that is set
	Server     int    // PostgreSQL's major version
	Migrations string // which migrations are applied, as one comparable word; empty when none are
	Last       int    // the highest of them
	Tables     int
	Bytes      int64  // of the whole database
	Heap       int64  // of the tables without their indexes: about what a dump weighs
	Owner      string // of the database
}

// Empty says that no Mattermost ever used the database.
func (s Schema) Empty() bool { return s.Tables == 0 }

// Inspect reads the Schema.
func (d *Database) Inspect(ctx context.Context) (Schema, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return Schema{}, err
	}
	defer conn.Close(ctx)
	var s Schema
	var num int
	err = conn.QueryRow(ctx, `select current_setting('server_version_num')::int, coalesce(current_schema(), ''), current_setting('search_path'), pg_database_size(current_database()),
		(select pg_get_userbyid(datdba) from pg_database where datname = current_database()),
		(select count(*) from pg_class c where c.relkind in ('r','p') and c.relnamespace = quote_ident(current_schema())::regnamespace),
		(select coalesce(sum(pg_table_size(c.oid)),0)::bigint from pg_class c where c.relkind = 'r' and c.relnamespace = quote_ident(current_schema())::regnamespace)`).
		Scan(&num, &s.Name, &s.SearchPath, &s.Bytes, &s.Owner, &s.Tables, &s.Heap)
	if err != nil {
		return s, fmt.Errorf("inspect database %s: %w", d.Name, err)
	}
	s.Server = num / 10000
	if s.Tables == 0 {
		return s, nil
	}
	return s, d.applied(ctx, conn, &s)
}

// applied reads which migrations the database has. 6.3 and older keep them in schema_migrations.
func (d *Database) applied(ctx context.Context, conn *pgx.Conn, s *Schema) error {
	for _, table := range []string{"db_migrations", "schema_migrations"} {
		var found *string
		if err := conn.QueryRow(ctx, "select to_regclass($1)::text", table).Scan(&found); err != nil {
			return fmt.Errorf("read applied migrations: %w", err)
		}
		if found == nil {
			continue
		}
		var count int
		if err := conn.QueryRow(ctx, "select count(*), coalesce(max(version),0) from "+table).Scan(&count, &s.Last); err != nil {
			return fmt.Errorf("read applied migrations: %w", err)
		}
		s.Migrations = fmt.Sprintf("%s:%d:%d", table, count, s.Last)
		return nil
	}
	return nil
}

// AppliedMigrations is Schema.Migrations alone: cheap enough to ask while the service is down.
func (d *Database) AppliedMigrations(ctx context.Context) (string, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var s Schema
	if err := d.applied(ctx, conn, &s); err != nil {
		return "", err
	}
	return s.Migrations, nil
}

// ClearOrphans ends what a killed server left running in the database, and frees its migration
// lock, which would make the next server wait. Only call it while the service is stopped.
func (d *Database) ClearOrphans(ctx context.Context) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
		where datname = current_database() and usename = current_user and pid <> pg_backend_pid()`); err != nil {
		return fmt.Errorf("end orphaned queries: %w", err)
	}
	return freeMigrations(ctx, conn)
}

// freeMigrations removes the lock of a migrator that is dead.
func freeMigrations(ctx context.Context, conn *pgx.Conn) error {
	var found *string
	if err := conn.QueryRow(ctx, "select to_regclass('db_lock')::text").Scan(&found); err != nil || found == nil {
		return err
	}
	if _, err := conn.Exec(ctx, "delete from db_lock"); err != nil {
		return fmt.Errorf("clear the migration lock: %w", err)
	}
	return nil
}

// contents are the tables that hold what people made, each with the column of its last change in
// milliseconds. Bots are left out of users: plugins touch them by themselves when they start.
var contents = []struct{ table, column, but string }{
	{"posts", "updateat", ""}, {"fileinfo", "updateat", ""}, {"teams", "updateat", ""}, {"channels", "updateat", ""},
	{"emoji", "updateat", ""}, {"reactions", "createat", ""}, {"reactions", "updateat", ""}, {"drafts", "updateat", ""},
	{"incomingwebhooks", "updateat", ""}, {"outgoingwebhooks", "updateat", ""}, {"commands", "updateat", ""}, {"usergroups", "updateat", ""},
	{"users", "updateat", "not exists (select 1 from bots where bots.userid = users.id)"},
}

// Content says whether a table holds what people made.
func Content(table string) bool {
	return slices.ContainsFunc(contents, func(c struct{ table, column, but string }) bool { return c.table == table })
}

// Written counts what people wrote since t, by kind, leaving out kinds with none. It says whether
// an older copy of the database may take this one's place.
func (d *Database) Written(ctx context.Context, t time.Time) (map[string]int, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	written := map[string]int{}
	for _, kind := range contents {
		var exists bool
		err := conn.QueryRow(ctx, `select exists(select 1 from pg_attribute where attrelid = to_regclass($1) and attname = $2)`, kind.table, kind.column).Scan(&exists)
		if err != nil {
			return nil, fmt.Errorf("count what was written: %w", err)
		}
		if !exists {
			continue
		}
		var n int
		query := "select count(*) from " + kind.table + " where " + kind.column + " >= $1"
		if kind.but != "" {
			query += " and " + kind.but
		}
		if err := conn.QueryRow(ctx, query, t.UnixMilli()).Scan(&n); err != nil {
			return nil, fmt.Errorf("count what was written: %w", err)
		}
		if n > 0 {
			written[kind.table] = max(n, written[kind.table])
		}
	}
	return written, nil
}
