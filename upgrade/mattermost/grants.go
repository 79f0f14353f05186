package mattermost

import (
	"context"
	"errors"
	"fmt"
)

// MayCreate reports whether the application may create tables in its schema. Since PostgreSQL 15 only
// a database's owner may in the schema public, and a managed service makes its administrator the owner.
func (d *Database) MayCreate(ctx context.Context) (bool, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	schema, err := d.schemaOf(ctx, conn)
	if err != nil {
		return false, err
	}
	var may bool
	if err := conn.QueryRow(ctx, "select has_schema_privilege($1, 'CREATE')", schema).Scan(&may); err != nil {
		return false, fmt.Errorf("ask for privileges: %w", err)
	}
	return may, nil
}

// Grant lets the application's role create tables in its schema, as role admin: as the owner of its
// database where that is allowed, else by privileges. It changes nothing when the application may
// already. The error is an ErrNoSchema when there is no schema for it.
func (d *Database) Grant(ctx context.Context, admin *Database) error {
	may, err := d.MayCreate(ctx)
	if err != nil || may {
		return err
	}
	schema, err := d.schema(ctx)
	if err != nil {
		return err
	}
	conn, err := admin.On(d.Name).Connect(ctx)
	if err != nil {
		return fmt.Errorf("give %s its database: %w", d.Role, err)
	}
	defer conn.Close(ctx)
	role, name := quote(d.Role), quote(d.Name)
	owner := fmt.Sprintf("alter database %s owner to %s", name, role)
	create := fmt.Sprintf("grant usage, create on schema %s to %s", quote(schema), role)
	ways := [][]string{
		{owner},
		// An administrator that is no superuser must belong to a role to give something to it.
		{fmt.Sprintf("grant %s to current_user", role), owner},
		{fmt.Sprintf("grant all on database %s to %s", name, role), create},
	}
	if schema != "public" { // the owner of a database has no part in it
		ways = [][]string{{create}}
	}
	var tried []error
	for _, way := range ways {
		var failed error
		for _, statement := range way {
			if _, err := conn.Exec(ctx, statement); err != nil {
				failed = fmt.Errorf("%s: %w", statement, err)
				break
			}
		}
		if failed == nil {
			if may, err = d.MayCreate(ctx); err != nil || may {
				return err
			}
			failed = fmt.Errorf("%s: role %s still may not create tables in schema %s", way[len(way)-1], d.Role, schema)
		}
		tried = append(tried, failed)
	}
	return fmt.Errorf("give %s its database as %s: %w", d.Role, admin.Role, errors.Join(tried...))
}
