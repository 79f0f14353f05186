package mattermost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
)

// Rows counts the rows of each table, by its name with the schema before it.
type Rows map[string]int64

// Of counts the rows of the table of that name in whichever schema Mattermost has its own.
func (r Rows) Of(table string) int64 {
	for name, n := range r {
		if _, bare, _ := strings.Cut(name, "."); bare == table {
			return n
		}
	}
	return 0
}

// Stream writes the application's schema to w as SQL that psql takes, without compression, owners
// and privileges: what is like the last time stays so byte for byte. The service may run; all of it
// is as it was at one moment. It returns nil only when every table had, in the SQL itself, as many
// rows as the database at that moment.
func (d *Database) Stream(ctx context.Context, t Tools, w io.Writer, progress func(int64)) (Rows, time.Time, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer conn.Close(ctx)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // it only read
	var snapshot, schema string
	var at time.Time
	if err := tx.QueryRow(ctx, "select pg_export_snapshot(), current_schema(), now()").Scan(&snapshot, &schema, &at); err != nil {
		return nil, at, err
	}
	want, err := countRows(ctx, tx, schema)
	if err != nil {
		return nil, at, err
	}
	got := &copyCounter{rows: map[string]int64{}}
	args := []string{"--format=plain", "--no-password", "--no-owner", "--no-privileges", "--snapshot=" + snapshot, "--schema=" + quotePattern(schema)}
	out := &withoutSchema{w: io.MultiWriter(&meter{w: w, report: progress}, got)}
	_, err = t.run(ctx, host.Command{Name: t.path("pg_dump"), Args: args, Env: d.env, User: d.OSUser, Dir: "/", Stdout: out})
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return nil, at, err
	}
	return want, at.UTC(), got.compare(want)
}

// withoutSchema takes out the lines by which pg_dump, asked for one schema, makes public and says what
// it is: every database has it, and only its owner may. They are at the top.
type withoutSchema struct {
	w    io.Writer
	head []byte
	past bool
}

const headBytes = 16 << 10

func (f *withoutSchema) Write(p []byte) (int, error) {
	if f.past {
		return f.w.Write(p)
	}
	f.head = append(f.head, p...)
	if len(f.head) < headBytes {
		return len(p), nil
	}
	return len(p), f.flush()
}

func (f *withoutSchema) flush() error {
	if f.past {
		return nil
	}
	f.past = true
	for _, line := range []string{"CREATE SCHEMA public;\n", "COMMENT ON SCHEMA public IS 'standard public schema';\n"} {
		f.head = bytes.Replace(f.head, []byte("\n"+line), []byte("\n"), 1)
	}
	_, err := f.w.Write(f.head)
	f.head = nil
	return err
}

// quotePattern is a name as pg_dump's --schema takes it: in quotes nothing in it is a pattern.
func quotePattern(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Load fills an empty database with the SQL of Stream, which feed writes, and proves that it came
// whole: its last line, and as many rows as want says. A failure leaves a half-filled database: the
// caller drops it.
func (d *Database) Load(ctx context.Context, t Tools, want Rows, feed func(io.Writer) error) error {
	read, write := io.Pipe()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	got := &copyCounter{rows: map[string]int64{}}
	fed := make(chan error, 1)
	go func() {
		own := &withoutSchema{w: io.MultiWriter(write, got)} // a backup may be older than Stream's own
		buffered := bufio.NewWriterSize(own, 1<<20)
		err := feed(buffered)
		if err == nil {
			err = errors.Join(buffered.Flush(), own.flush())
		}
		if err != nil {
			cancel(err) // psql must not take the end for the end
		}
		write.CloseWithError(err)
		fed <- err
	}()
	args := []string{"--no-psqlrc", "--quiet", "--no-password", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"}
	_, err := t.run(ctx, host.Command{Name: t.path("psql"), Args: args, Env: d.env, User: d.OSUser, Dir: "/", Stdin: read})
	starved := context.Cause(ctx) != nil // before psql ended, which else is the one that knows why
	_ = read.CloseWithError(errors.New("psql has ended"))
	if e := <-fed; e != nil && (err == nil || starved) {
		err = e // what psql says of it is only the consequence
	}
	if err != nil {
		return fmt.Errorf("fill database %s: %w", d.Name, err)
	}
	if err := got.compare(want); err != nil {
		return fmt.Errorf("fill database %s: %w", d.Name, err)
	}
	return d.recount(ctx, want)
}

// recount counts what is in the database now.
func (d *Database) recount(ctx context.Context, want Rows) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "analyze"); err != nil { // else every query after is slow
		return fmt.Errorf("analyze database %s: %w", d.Name, err)
	}
	for table, n := range want {
		var have int64
		if err := conn.QueryRow(ctx, "select count(*) from "+table).Scan(&have); err != nil {
			return fmt.Errorf("count %s in database %s: %w", table, d.Name, err)
		}
		if have != n {
			return fmt.Errorf("%s has %d rows in database %s, and had %d", table, have, d.Name, n)
		}
	}
	return nil
}

// Empty drops what the role owns in its schema, so that Load finds nothing.
func (d *Database) Empty(ctx context.Context) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, emptySchema); err != nil {
		return fmt.Errorf("empty database %s: %w", d.Name, err)
	}
	return nil
}

// Attachment is a file that a row of fileinfo names, relative to the file store.
type Attachment struct {
	Path string
	Size int64
}

// Attachments calls each with the files that people have uploaded, deleted posts' too, as the server
// keeps those. Previews are left out: the server makes them again. A database without the table has
// none.
func (d *Database) Attachments(ctx context.Context, each func(Attachment) error) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var found *string
	if err := conn.QueryRow(ctx, "select to_regclass('fileinfo')::text").Scan(&found); err != nil || found == nil {
		return err
	}
	rows, err := conn.Query(ctx, "select path, size from fileinfo where path <> '' order by id")
	if err != nil {
		return fmt.Errorf("read the list of attachments: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a Attachment
		if err := rows.Scan(&a.Path, &a.Size); err != nil {
			return fmt.Errorf("read the list of attachments: %w", err)
		}
		if err := each(a); err != nil {
			return err
		}
	}
	return rows.Err()
}

// CanLoad returns what is missing for Load: psql beside pg_dump, as Debian's packages have it.
func (t Tools) CanLoad() error {
	if _, err := exec.LookPath(t.path("psql")); err != nil {
		return fmt.Errorf("psql of PostgreSQL %d is not installed", t.Major)
	}
	return nil
}
