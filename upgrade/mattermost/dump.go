package mattermost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/durable"
)

// Dump writes the application's schema to path, in pg_dump's custom format, and proves that it can be
// read back: every table with as many rows as the database had in the same snapshot, and the mark
// that pg_restore prints last. Until then the file is called path.partial. The service may run.
// Progress counts bytes of the file.
func (d *Database) Dump(ctx context.Context, t Tools, path string, progress func(int64)) (rows int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, fmt.Errorf("dump the database: %w", err)
	}
	partial := path + ".partial"
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fmt.Errorf("dump the database: %w", err)
	}
	defer func() {
		file.Close()
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(partial)))
		}
	}()
	want, err := d.dumpTo(ctx, t, &meter{w: file, report: progress})
	if err != nil {
		return 0, fmt.Errorf("dump the database: %w", err)
	}
	if err := file.Sync(); err != nil {
		return 0, fmt.Errorf("dump the database: %w", err)
	}
	if err := verifyDump(ctx, t, partial, want); err != nil {
		return 0, fmt.Errorf("verify the dump: %w", err)
	}
	if err := os.Rename(partial, path); err != nil {
		return 0, fmt.Errorf("dump the database: %w", err)
	}
	for _, n := range want {
		rows += n
	}
	return rows, durable.SyncDir(filepath.Dir(path))
}

// dumpTo dumps to w and returns the rows of each table as the dump's own snapshot shows them.
func (d *Database) dumpTo(ctx context.Context, t Tools, w io.Writer) (map[string]int64, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // it only read
	schema, err := d.schemaOf(ctx, conn)
	if err != nil {
		return nil, err
	}
	var snapshot string
	if err := tx.QueryRow(ctx, "select pg_export_snapshot()").Scan(&snapshot); err != nil {
		return nil, err
	}
	// Other schemas are other applications', which the role may not read, and RestoreDump leaves alone.
	args := []string{"--format=custom", "--no-password", "--snapshot=" + snapshot, "--schema=" + quotePattern(schema)}
	if t.Major >= 16 {
		args = append(args, "--compress=zstd:1") // six times as fast as gzip, and smaller
	} else {
		args = append(args, "--compress=1")
	}
	done := make(chan error, 1)
	go func() {
		_, err := t.run(ctx, host.Command{Name: t.path("pg_dump"), Args: args, Env: d.env, User: d.OSUser, Dir: "/", Stdout: w})
		done <- err
	}()
	rows, countErr := countRows(ctx, tx, schema)
	err = <-done
	if countErr != nil { // which ends the snapshot, and pg_dump with it
		return nil, countErr
	}
	return rows, err
}

// countRows counts every table that pg_dump dumps: all but the system's and the extensions' own; of
// one schema, or with "" of all.
func countRows(ctx context.Context, tx pgx.Tx, schema string) (map[string]int64, error) {
	names, err := tx.Query(ctx, `select format('%I.%I', n.nspname, c.relname)
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
		and ($1 = '' or n.nspname = $1)
		and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype = 'e')`, schema)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(names, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	rows := make(map[string]int64, len(tables))
	for _, table := range tables {
		var n int64
		if err := tx.QueryRow(ctx, "select count(*) from "+table).Scan(&n); err != nil {
			return nil, fmt.Errorf("count %s: %w", table, err)
		}
		rows[table] = n
	}
	return rows, nil
}

// verifyDump reads the dump as pg_restore would and compares rows.
func verifyDump(ctx context.Context, t Tools, path string, want map[string]int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	got := &copyCounter{rows: map[string]int64{}}
	if _, err := t.run(ctx, host.Command{Name: t.path("pg_restore"), Args: []string{"--file=-"}, Dir: "/", Stdin: file, Stdout: got}); err != nil {
		return err
	}
	return got.compare(want)
}

// compare says what is not in the SQL as it should be.
func (c *copyCounter) compare(want map[string]int64) error {
	if !c.complete {
		return errors.New("the dump ends before its last line")
	}
	var wrong []string
	for table, n := range want {
		if c.rows[table] != n {
			wrong = append(wrong, fmt.Sprintf("%s has %d rows in the dump and %d in the database", table, c.rows[table], n))
		}
	}
	sort.Strings(wrong)
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// copyCounter reads the SQL that pg_restore prints and counts the rows of each COPY.
type copyCounter struct {
	rows     map[string]int64
	complete bool
	table    string // whose rows are being read
	line     []byte // the beginning of a line that is not over yet
}

// keep is how much of a line is looked at; table names are at most 63 bytes each.
const keep = 512

func (c *copyCounter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i]
		}
		if room := keep - len(c.line); room > 0 {
			c.line = append(c.line, part[:min(room, len(part))]...)
		}
		if i < 0 {
			return n, nil
		}
		c.end()
		c.line = c.line[:0]
		p = p[i+1:]
	}
}

// end takes one whole line.
func (c *copyCounter) end() {
	switch {
	case c.table != "" && string(c.line) == `\.`:
		c.table = ""
	case c.table != "":
		c.rows[c.table]++
	case bytes.HasPrefix(c.line, []byte("COPY ")):
		name, _, _ := strings.Cut(string(c.line[len("COPY "):]), " (")
		c.table = strings.TrimSuffix(name, " FROM stdin;")
		c.rows[c.table] += 0
	case string(c.line) == "-- PostgreSQL database dump complete":
		c.complete = true
	}
}

// meter counts bytes on their way to w.
type meter struct {
	w      io.Writer
	n      int64
	report func(int64)
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.n += int64(n)
	if m.report != nil {
		m.report(m.n)
	}
	return n, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
