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

// Dump writes the whole database to path, in pg_dump's custom format, and proves that it can be
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
	var snapshot string
	if err := tx.QueryRow(ctx, "select pg_export_snapshot()").Scan(&snapshot); err != nil {
		return nil, err
	}
	args := []string{"--format=custom", "--no-password", "--snapshot=" + snapshot}
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
	rows, countErr := countRows(ctx, tx, "")
	if err := <-done; err != nil {
		return nil, err
	}
	return rows, countErr
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

// RestoreDump empties the application's schema and fills it from the dump at path. The service
// must be stopped. A restore that failed half way can be done again.
func (d *Database) RestoreDump(ctx context.Context, t Tools, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("restore the dump: %w", err)
	}
	defer file.Close()
	if err := d.ClearOrphans(ctx); err != nil {
		return fmt.Errorf("restore the dump: %w", err)
	}
	schema, err := d.empty(ctx)
	if err != nil {
		return fmt.Errorf("restore the dump: %w", err)
	}
	// The schema alone: extensions and comments on them belong to the administrator.
	args := []string{"--dbname=" + d.Name, "--no-password", "--no-owner", "--single-transaction", "--exit-on-error", "--schema=" + schema}
	if _, err := t.run(ctx, host.Command{Name: t.path("pg_restore"), Args: args, Env: d.env, User: d.OSUser, Dir: "/", Stdin: file}); err != nil {
		return fmt.Errorf("restore the dump: %w", err)
	}
	return nil
}

// empty drops what the role owns in its schema: a migration's new tables too, which a dump from
// before does not know and so would not replace.
func (d *Database) empty(ctx context.Context) (schema string, err error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, "select current_schema()").Scan(&schema); err != nil {
		return "", err
	}
	// Names are taken from the rows themselves: what a cascade dropped meanwhile has no other.
	_, err = conn.Exec(ctx, `do $$
declare what record; here oid := quote_ident(current_schema())::regnamespace; me oid := (select oid from pg_roles where rolname = current_user);
begin
  for what in select format('%I.%I', current_schema(), c.relname) as name, case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else 'table' end as kind
    from pg_class c where c.relnamespace = here and pg_has_role(c.relowner, 'USAGE') and c.relkind in ('r','p','v','m','S')
    and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype in ('e','a','i')) loop
    execute format('drop %s if exists %s cascade', what.kind, what.name);
  end loop;
  for what in select format('%I.%I(%s)', current_schema(), p.proname, pg_get_function_identity_arguments(p.oid)) as name from pg_proc p where p.pronamespace = here and p.proowner = me
    and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e') loop
    execute format('drop routine if exists %s cascade', what.name);
  end loop;
  for what in select format('%I.%I', current_schema(), t.typname) as name from pg_type t where t.typnamespace = here and t.typowner = me and t.typtype in ('e','d')
    and not exists (select 1 from pg_depend d where d.objid = t.oid and d.deptype = 'e') loop
    execute format('drop type if exists %s cascade', what.name);
  end loop;
end $$`)
	return schema, err
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
