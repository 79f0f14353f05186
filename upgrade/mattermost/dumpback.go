package mattermost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
)

// RestoreDump exchanges what the role owns in its schema for the dump at path, in one transaction:
// after any error all is as it was. What others own there stays as it is. The service must be stopped.
// Both lie on the database's disk until then; where it has no room for them the error is an ErrNoRoom.
func (d *Database) RestoreDump(ctx context.Context, t Tools, path string) error {
	if err := d.restoreDump(ctx, t, path); err != nil {
		return fmt.Errorf("restore the dump: %w", err)
	}
	return nil
}

func (d *Database) restoreDump(ctx context.Context, t Tools, path string) error {
	if err := d.ClearOrphans(ctx); err != nil {
		return err
	}
	schema, err := d.schema(ctx)
	if err != nil {
		return err
	}
	stay, err := d.staying(ctx)
	if err != nil {
		return err
	}
	list, err := t.entries(ctx, path, schema, stay)
	if err != nil {
		return err
	}
	wanted, err := os.CreateTemp("", "townsquare-restore-")
	if err != nil {
		return err
	}
	defer os.Remove(wanted.Name())
	_, err = wanted.WriteString(list)
	if err := errors.Join(err, wanted.Close()); err != nil {
		return err
	}
	return d.play(ctx, emptySchema, func(ctx context.Context, w io.Writer) error {
		// The schema alone: extensions and comments on them belong to the administrator.
		return t.restore(ctx, path, w, "--file=-", "--no-owner", "--schema="+schema, "--use-list="+wanted.Name())
	}, func() error { return nil })
}

// restore runs pg_restore on the dump at path.
func (t Tools) restore(ctx context.Context, path string, out io.Writer, args ...string) error {
	dump, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dump.Close()
	_, err = t.run(ctx, host.Command{Name: t.path("pg_restore"), Args: args, Dir: "/", Env: []string{"LC_ALL=C"}, Stdin: dump, Stdout: out})
	return err
}

// staying returns what stays in the role's schema when emptySchema has run, with what depends on it, as a
// dump's list of entries names it: by the catalog it is in, 0 for a table's rows, and its number there.
// It is tried and undone.
func (d *Database) staying(ctx context.Context) (map[string]bool, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	stay := map[string]bool{}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // that is its purpose
	if _, err := tx.Exec(ctx, emptySchema); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `with recursive stay(class, id) as (
			select classid, objid from pg_depend where refclassid = 'pg_namespace'::regclass and refobjid = quote_ident(current_schema())::regnamespace
			union select classid, objid from pg_depend join stay on refclassid = class and refobjid = id)
		select class || ' ' || id from stay union all select '0 ' || id from stay where class = 'pg_class'::regclass`)
	if err != nil {
		return nil, err
	}
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { stay[id] = true; return nil })
	return stay, err
}

// entry is a line of a dump's list: its number in the dump; catalog and number of what it makes, 0 0 for
// what only belongs to something; then kind, schema, name and owner. A name may have blanks.
var entry = regexp.MustCompile(`^\d+; (\d+ \d+) (.*)$`)

// entries returns the list of what in the dump at path is to be restored: what is not in stay, nor
// belongs to that, such as its rows and privileges.
func (t Tools) entries(ctx context.Context, path, schema string, stay map[string]bool) (string, error) {
	var out strings.Builder
	if err := t.restore(ctx, path, &out, "--list"); err != nil {
		return "", err
	}
	var kept []string // tails of what stays: its name and its owner
	lines := strings.Split(out.String(), "\n")
	for _, line := range lines {
		if m := entry.FindStringSubmatch(line); m != nil && stay[m[1]] {
			_, tail, _ := strings.Cut(m[2], " "+schema+" ")
			kept = append(kept, tail)
		}
	}
	var list strings.Builder
	tables := 0
	for _, line := range lines {
		m := entry.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		kind, tail, _ := strings.Cut(m[2], " "+schema+" ")
		if stay[m[1]] || slices.ContainsFunc(kept, func(k string) bool { return belongs(kind, tail, k) }) {
			continue
		}
		if kind == "TABLE" {
			tables++
		}
		list.WriteString(line + "\n")
	}
	if tables == 0 {
		return "", fmt.Errorf("the dump has no tables in schema %s", schema)
	}
	return list.String(), nil
}

// belongs reports whether an entry 0 0 is of what another makes: the value of a sequence, or the comment
// or the privileges of TABLE name, COLUMN name.column or the like.
func belongs(kind, tail, other string) bool {
	if tail == other {
		return true
	}
	if kind != "COMMENT" && kind != "ACL" && kind != "SECURITY LABEL" {
		return false
	}
	name, owner := other, ""
	if i := strings.LastIndexByte(other, ' '); i >= 0 {
		name, owner = other[:i], other[i:]
	}
	return strings.HasSuffix(tail, " "+other) || strings.HasPrefix(tail, "COLUMN "+name+".") && strings.HasSuffix(tail, owner)
}

// emptySchema drops what the role owns in its schema, of whatever kind: also what a migration has made,
// which a dump from before does not know and so would not replace. Members of extensions stay, and what
// only its owner can drop. pg_shdepend does not list what the bootstrap superuser, number 10, owns.
const emptySchema = `do $$
declare statements text[]; statement text;
begin
  select array_agg(format('drop %s if exists %s cascade', case when o.type in ('function', 'procedure', 'aggregate') then 'routine'
      when o.type = 'statistics object' then 'statistics' else o.type end, o.identity)) into statements
    from pg_depend d cross join lateral pg_identify_object(d.classid, d.objid, 0) o
    left join pg_shdepend s on s.dbid = (select oid from pg_database where datname = current_database())
      and s.classid = d.classid and s.objid = d.objid and s.refclassid = 'pg_authid'::regclass and s.deptype = 'o'
    where d.refclassid = 'pg_namespace'::regclass and d.refobjid = quote_ident(current_schema())::regnamespace and d.deptype = 'n'
    and d.classid <> 'pg_extension'::regclass and pg_has_role(coalesce(s.refobjid, 10), 'USAGE')
    and not exists (select from pg_depend e where e.classid = d.classid and e.objid = d.objid and e.deptype in ('e', 'i') and e.refobjid <> e.objid);
  foreach statement in array coalesce(statements, '{}') loop
    execute statement;
  end loop;
end $$`

// Clear makes room for RestoreDump where there is none for both: it drops what RestoreDump would.
// Until that is done no server starts here and takes the place for a new one's, as its table of
// migrations is there and has no names.
func (d *Database) Clear(ctx context.Context) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, emptySchema); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "create table db_migrations (version bigint)")
		return err
	})
	if err != nil {
		return fmt.Errorf("empty the database: %w", err)
	}
	return nil
}

// Emptied says of what AppliedMigrations tells that nothing of a server's is there: nothing ever was,
// it was dropped, or Clear has done that.
func Emptied(migrations string) bool { return migrations == "" || migrations == "db_migrations:0:0" }
