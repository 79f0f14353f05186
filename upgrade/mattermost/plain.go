package mattermost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
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
	needed, err := extensions(ctx, tx)
	if err != nil {
		return nil, at, err
	}
	got := &copyCounter{rows: map[string]int64{}}
	args := []string{"--format=plain", "--no-password", "--no-owner", "--no-privileges", "--snapshot=" + snapshot, "--schema=" + quotePattern(schema)}
	to := io.MultiWriter(&meter{w: w, report: progress}, got)
	if _, err := io.WriteString(to, strings.Join(needed, "")); err != nil {
		return nil, at, err
	}
	out := &withoutSchema{w: to}
	_, err = t.run(ctx, host.Command{Name: t.path("pg_dump"), Args: args, Env: d.env, User: d.OSUser, Dir: "/", Stdout: out})
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return nil, at, err
	}
	return want, at.UTC(), got.compare(want)
}

// withoutSchema takes out the lines by which pg_dump, asked for one schema, makes it and comments on it:
// a database that is filled has it, and only its owner may comment on it. They are at the top.
type withoutSchema struct {
	w    io.Writer
	head []byte
	past bool
}

const headBytes = 16 << 10

// The schema is the first that pg_dump makes.
var makesSchema = regexp.MustCompile(`\A((?:(?:SET|SELECT) [^\n]*\n|--[^\n]*\n|\\restrict [^\n]*\n|\n)*)CREATE SCHEMA [^\n]*;\n((?:--[^\n]*\n|\n)*)(?:COMMENT ON SCHEMA [^\n]* IS '(?:[^']|'')*';\n)?`)

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
	_, err := f.w.Write(makesSchema.ReplaceAll(f.head, []byte("$1$2")))
	f.head = nil
	return err
}

// quotePattern is a name as pg_dump's --schema takes it: in quotes nothing in it is a pattern.
func quotePattern(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Load fills an empty database with the SQL of Stream, which feed writes, in one transaction, and proves
// that it came whole: its last line, and as many rows as in want. The tables go to the schema that
// they were in, which must be the one that the role uses here.
func (d *Database) Load(ctx context.Context, want Rows, feed func(io.Writer) error) error {
	if err := d.load(ctx, want, feed); err != nil {
		return fmt.Errorf("fill database %s: %w", d.Name, err)
	}
	return d.recount(ctx, want)
}

func (d *Database) load(ctx context.Context, want Rows, feed func(io.Writer) error) error {
	if err := d.Fits(ctx, want); err != nil {
		return err
	}
	got := &copyCounter{rows: map[string]int64{}}
	return d.play(ctx, "", func(_ context.Context, w io.Writer) error {
		own := &withoutSchema{w: io.MultiWriter(w, got)} // a backup may be older than Stream's own
		buffered := bufio.NewWriterSize(own, 1<<20)
		if err := feed(buffered); err != nil {
			return err
		}
		return errors.Join(buffered.Flush(), own.flush())
	}, func() error {
		return errors.Join(got.compare(want), d.Fits(ctx, want)) // feed may tell the rows at its end only
	})
}

// Fits returns an error when the role uses another schema than the tables of rows are in: a server would
// not find them.
func (d *Database) Fits(ctx context.Context, rows Rows) error {
	schema, err := d.schema(ctx)
	if err != nil {
		return err
	}
	for table := range rows {
		if theirs := schemaIn(table); theirs != schema {
			return fmt.Errorf("the tables are from schema %s, and role %s uses schema %s in database %s", theirs, d.Role, schema, d.Name)
		}
	}
	return nil
}

// schemaIn is the schema in a table's name.
func schemaIn(table string) string {
	if quoted, ok := strings.CutPrefix(table, `"`); ok {
		name, _, _ := strings.Cut(quoted, `".`)
		return strings.ReplaceAll(name, `""`, `"`)
	}
	name, _, _ := strings.Cut(table, ".")
	return name
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

// Occupants names what is in the role's schema, whoever owns it, apart from the members of extensions; at
// most ten of it. A dump cannot be restored over any of it.
func (d *Database) Occupants(ctx context.Context) ([]string, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `select o.type || ' ' || o.identity from pg_depend d cross join lateral pg_identify_object(d.classid, d.objid, 0) o
		where d.refclassid = 'pg_namespace'::regclass and d.refobjid = quote_ident(current_schema())::regnamespace and d.deptype = 'n'
		and d.classid <> 'pg_extension'::regclass
		and not exists (select from pg_depend e where e.classid = d.classid and e.objid = d.objid and e.deptype in ('e', 'i') and e.refobjid <> e.objid)
		order by 1 limit 10`)
	if err != nil {
		return nil, fmt.Errorf("look into the schema of database %s: %w", d.Name, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
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
