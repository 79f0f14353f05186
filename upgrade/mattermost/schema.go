package mattermost

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNoSchema is returned when the database has no schema that the role's search_path names: the role
// has no place for tables there.
var ErrNoSchema = errors.New("no schema")

// schema returns the schema of the application's tables: the first one of its search_path that is
// there. The search_path comes from the data source, the role, the role in this database, the database
// or the server's configuration; a connection as the role knows which of them holds.
func (d *Database) schema(ctx context.Context) (string, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	return d.schemaOf(ctx, conn)
}

// schemaOf is schema on a connection as the role.
func (d *Database) schemaOf(ctx context.Context, conn *pgx.Conn) (string, error) {
	var name *string
	var path string
	if err := conn.QueryRow(ctx, "select current_schema(), current_setting('search_path')").Scan(&name, &path); err != nil {
		return "", fmt.Errorf("find the schema in database %s: %w", d.Name, err)
	}
	if name == nil {
		return "", fmt.Errorf("%w of search_path %s, which role %s has, is in database %s", ErrNoSchema, path, d.Role, d.Name)
	}
	return *name, nil
}

// sameSchema returns an error when the application would use another schema in the database name than
// in its own. A copy that it may not connect to yet, as pg_hba.conf names databases, has the same
// settings.
func (a *Admin) sameSchema(ctx context.Context, name string) error {
	want, err := a.app.schema(ctx)
	if err != nil && !errors.Is(err, ErrNoSchema) {
		return err
	}
	have, err := a.app.On(name).schema(ctx)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Severity == "FATAL":
		return nil
	case err != nil && !errors.Is(err, ErrNoSchema):
		return err
	case have != want:
		return fmt.Errorf("%w: role %s uses schema %q in database %s, and %q in database %s", ErrNoCopy, a.app.Role, want, a.app.Name, have, name)
	}
	return nil
}

// makeSchema makes the application's schema in the new database name, with the owner that it has in
// the application's, and lets the application create tables in it.
func (a *Admin) makeSchema(ctx context.Context, name string) error {
	own, err := a.app.Connect(ctx)
	if err != nil {
		return err
	}
	defer own.Close(ctx)
	schema, err := a.app.schemaOf(ctx, own)
	if err != nil {
		return err
	}
	into := a.app.On(name)
	grant := fmt.Sprintf("grant usage, create on schema %s to %s", quote(schema), quote(into.Role))
	if schema == "public" { // every database has it
		if a.owner != into.Role {
			_ = a.On(name).exec(ctx, grant) // else Grant finds another way
		}
		return into.Grant(ctx, a.Database)
	}
	var owner string
	if err := own.QueryRow(ctx, "select pg_get_userbyid(nspowner) from pg_namespace where nspname = $1", schema).Scan(&owner); err != nil {
		return fmt.Errorf("find the owner of schema %s: %w", schema, err)
	}
	create := "create schema if not exists " + quote(schema)
	var failed []error
	for _, maker := range []*Database{a.On(name), into} { // only a superuser may act for every role
		err := maker.exec(ctx, create+" authorization "+quote(owner), grant)
		if err != nil {
			err = maker.exec(ctx, create, grant)
		}
		if err == nil {
			return nil
		}
		failed = append(failed, err)
	}
	return fmt.Errorf("make schema %s in database %s: %w", schema, name, errors.Join(failed...))
}

// exec runs statements one by one on a connection of their own.
func (d *Database) exec(ctx context.Context, statements ...string) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
