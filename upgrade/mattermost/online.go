package mattermost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
)

// ErrQueued says that a migration gave up waiting for a lock, so that users would not wait behind it.
var ErrQueued = errors.New("the database was too busy for a migration")

// migrator is the name by which PostgreSQL knows a program that migrates beside one that serves.
const migrator = "townsquare-migrate"

// Migrate runs the program's migrations of db while another version serves. No statement of it waits
// longer than wait for a lock, as whoever comes after it would wait as well: then the error is
// ErrQueued, and it may be tried again. The configuration is only read.
func (p Program) Migrate(ctx context.Context, db *Database, wait time.Duration) error {
	// In the data source: options in it take the place of PGOPTIONS.
	dsn := db.with(word{"application_name", migrator}, word{"lock_timeout", fmt.Sprint(wait.Milliseconds())})
	_, err := p.run(ctx, []string{"MM_SQLSETTINGS_DATASOURCE=" + dsn}, "db", "migrate")
	if err == nil {
		return nil
	}
	var exit *host.ExitError
	if errors.As(err, &exit) {
		gaveUp, e := db.lockTimeoutText(ctx)
		if e != nil {
			return fmt.Errorf("migrate the database: %w", errors.Join(err, e))
		}
		if strings.Contains(exit.Stderr, gaveUp) {
			return fmt.Errorf("%w: %w", ErrQueued, err)
		}
	}
	return fmt.Errorf("migrate the database: %w", err)
}

// lockTimeoutText returns PostgreSQL's message, in the language of its messages for the role, when a
// statement gave up waiting for a lock: programs pass that on, and not its code, 55P03.
func (d *Database) lockTimeoutText(ctx context.Context) (string, error) {
	holder, err := d.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer holder.Close(ctx)
	waiter, err := d.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer waiter.Close(ctx)
	var pid uint32
	if err := holder.QueryRow(ctx, "select pg_backend_pid() from pg_advisory_lock(hashtext($1), pg_backend_pid())", migrator).Scan(&pid); err != nil {
		return "", fmt.Errorf("learn how PostgreSQL gives up a lock: %w", err)
	}
	if _, err := waiter.Exec(ctx, "set lock_timeout = 1"); err != nil {
		return "", fmt.Errorf("learn how PostgreSQL gives up a lock: %w", err)
	}
	_, err = waiter.Exec(ctx, "select pg_advisory_lock(hashtext($1), $2)", migrator, pid)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "55P03" { // lock_not_available
		return "", fmt.Errorf("learn how PostgreSQL gives up a lock: %w", errors.Join(errors.New("it did not"), err))
	}
	return pg.Message, nil
}

// endWait is how long a session may take to end.
const endWait = 10 * time.Second

// endMigrator ends the migrator's sessions and waits until they are gone. The waiting of
// pg_terminate_backend itself came with PostgreSQL 14.
func (d *Database) endMigrator(ctx context.Context, conn *pgx.Conn) error {
	for deadline := time.Now().Add(endWait); ; {
		var left int
		err := conn.QueryRow(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = current_database() and usename = current_user and application_name = $1`, migrator).Scan(&left)
		switch {
		case err != nil:
			return fmt.Errorf("end the migration: %w", err)
		case left == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("end the migration: it goes on after %s", printable.Duration(endWait))
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// EndMigrator ends what a migrator that was killed left behind: its statement, which goes on without
// it, its lock, for which the next one would wait, and indexes that were not finished, which the
// next one would take for done. before are the indexes that InvalidIndexes named before it began.
// Nobody waits while an index is removed, but it is not removed before those are done who were at work
// on its table; when that takes longer than a minute it is an error.
func (d *Database) EndMigrator(ctx context.Context, before []string) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := d.endMigrator(ctx, conn); err != nil {
		return err
	}
	if err := freeMigrations(ctx, conn); err != nil {
		return err
	}
	now, err := invalidIndexes(ctx, conn)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "set lock_timeout = '1min'"); err != nil {
		return fmt.Errorf("remove unfinished indexes: %w", err)
	}
	for _, index := range now {
		if slices.Contains(before, index) {
			continue
		}
		if _, err := conn.Exec(ctx, "drop index concurrently if exists "+index); err != nil {
			return fmt.Errorf("remove the unfinished index %s: %w", index, err)
		}
	}
	return nil
}

// InvalidIndexes names the indexes that were begun and not finished, quoted as SQL wants them.
func (d *Database) InvalidIndexes(ctx context.Context) ([]string, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	return invalidIndexes(ctx, conn)
}

func invalidIndexes(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, "select indexrelid::regclass::text from pg_index where not indisvalid order by 1")
	if err != nil {
		return nil, fmt.Errorf("look for unfinished indexes: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for unfinished indexes: %w", err)
	}
	return names, nil
}

// TableBytes is how large each table is, without its indexes.
func (d *Database) TableBytes(ctx context.Context) (map[string]int64, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `select relname, pg_table_size(oid) from pg_class
		where relkind = 'r' and relnamespace = quote_ident(current_schema())::regnamespace`)
	if err != nil {
		return nil, fmt.Errorf("measure the tables: %w", err)
	}
	bytes := map[string]int64{}
	var name string
	var size int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &size}, func() error { bytes[name] = size; return nil }); err != nil {
		return nil, fmt.Errorf("measure the tables: %w", err)
	}
	return bytes, nil
}
