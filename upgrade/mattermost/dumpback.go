package mattermost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
)

// RestoreDump exchanges what the role has in its schema for the dump at path, in one transaction:
// whatever ends it, all is as it was. The service must be stopped. Both lie on the database's disk
// until then; where it has no room for them the error is an ErrNoRoom.
func (d *Database) RestoreDump(ctx context.Context, t Tools, path string) error {
	if err := d.restoreDump(ctx, t, path); err != nil {
		return fmt.Errorf("restore the dump: %w", err)
	}
	return nil
}

func (d *Database) restoreDump(ctx context.Context, t Tools, path string) error {
	dump, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dump.Close()
	if err := d.ClearOrphans(ctx); err != nil {
		return err
	}
	schema, err := d.schema(ctx)
	if err != nil {
		return err
	}
	read, write := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := t.exchange(ctx, schema, dump, write)
		written <- errors.Join(err, write.Close())
	}()
	args := []string{"--dbname=" + d.Name, "--no-password", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--output=/dev/null", "--file=-"}
	_, err = t.run(ctx, host.Command{Name: t.path("psql"), Args: args, Env: d.env, User: d.OSUser, Dir: "/", Stdin: read})
	read.Close() // should psql have ended before all was written
	return errors.Join(complaint(err), <-written)
}

// exchange writes the SQL of RestoreDump. Without its last line, the commit, all of it is undone: so
// it is when the dump cannot be read to its end.
func (t Tools) exchange(ctx context.Context, schema string, dump io.Reader, sql io.Writer) error {
	if _, err := io.WriteString(sql, "begin;\n"+emptySchema+";\n"); err != nil {
		return err
	}
	// The schema alone: extensions and comments on them belong to the administrator.
	args := []string{"--file=-", "--no-owner", "--schema=" + schema}
	if _, err := t.run(ctx, host.Command{Name: t.path("pg_restore"), Args: args, Dir: "/", Stdin: dump, Stdout: sql}); err != nil {
		return err
	}
	_, err := io.WriteString(sql, "\ncommit;\n")
	return err
}

// sqlComplaint is how psql tells of an error, or of less, with its code. The words are the server's language.
var sqlComplaint = regexp.MustCompile(`(?m)^psql:[^ ]+ [^ ]+:  ([0-9A-Z]{5}): (.*)$`)

// complaint is what of psql's error a person needs; an ErrNoRoom by its code.
func complaint(err error) error {
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	all := sqlComplaint.FindAllStringSubmatch(exit.Stderr, -1)
	if len(all) == 0 {
		return err
	}
	last := all[len(all)-1] // psql ends at the first error
	if last[1] == "53100" {
		return fmt.Errorf("%w: %s", ErrNoRoom, last[2])
	}
	return fmt.Errorf("psql: %s", last[2])
}

// schema is where the role's tables are.
func (d *Database) schema(ctx context.Context) (name string, err error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "select current_schema()").Scan(&name)
	return name, err
}

// emptySchema drops what the role owns in its schema: a migration's new tables too, which a dump from
// before does not know and so would not replace. Names are taken from the rows themselves: what a
// cascade dropped meanwhile has no other.
const emptySchema = `do $$
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
