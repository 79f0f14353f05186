package mattermost

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/internal/untrusted"
)

// Activity looks at who works in a database, over a connection of its own that is opened when first
// needed, and again when it was lost.
type Activity struct {
	db   *Database
	conn *pgx.Conn
}

// Watch begins to look.
func (d *Database) Watch() *Activity { return &Activity{db: d} }

// Close ends it.
func (a *Activity) Close(ctx context.Context) error {
	if a.conn == nil {
		return nil
	}
	return a.conn.Close(ctx)
}

// Busy says whether the application's role, other than as us, did something in the last two seconds. One that waits for
// somebody else's lock does nothing, whatever its other connections do. A database that cannot be asked says no.
func (a *Activity) Busy(ctx context.Context) bool {
	if a.conn == nil || a.conn.IsClosed() {
		conn, err := a.db.Connect(ctx)
		if err != nil {
			return false
		}
		a.conn = conn
	}
	var busy bool
	err := a.conn.QueryRow(ctx, `with theirs as (select * from pg_stat_activity where datname = current_database()
			and usename = current_user and application_name <> 'townsquare')
		select exists(select 1 from theirs where state in ('active', 'idle in transaction') or state_change > now() - interval '2 seconds')
			and not exists(select 1 from theirs where wait_event_type = 'Lock' and state_change < now() - interval '2 seconds')`).Scan(&busy)
	return err == nil && busy
}

// ClockSkew is how much later this host's clock is than the database's.
func (d *Database) ClockSkew(ctx context.Context) (time.Duration, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	var there time.Time
	if err := conn.QueryRow(ctx, "select clock_timestamp()").Scan(&there); err != nil {
		return 0, fmt.Errorf("ask the database for the time: %w", err)
	}
	return time.Since(there), nil
}

// LastMigration is the highest migration in what AppliedMigrations returned; 0 when there is none.
func LastMigration(applied string) int {
	n, err := strconv.Atoi(applied[strings.LastIndexByte(applied, ':')+1:])
	if err != nil {
		return 0
	}
	return n
}

// Warm reads what a server reads when it starts, so that it comes from memory then.
func Warm(dir string) error {
	for _, name := range []string{"bin/mattermost", "i18n", "templates", "fonts"} {
		err := filepath.WalkDir(filepath.Join(dir, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return ignoreMissing(err)
			}
			f, err := untrusted.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(io.Discard, f)
			return err
		})
		if err != nil {
			return fmt.Errorf("read %s: %w", dir, err)
		}
	}
	return nil
}
