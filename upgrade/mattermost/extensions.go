package mattermost

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// extensions returns the statements that make the extensions of a database in another, in the schemas
// that they are in: indexes of tables can need them, and pg_dump leaves them out of a single schema.
// Where a role may not make one, the statement does nothing, as none may be needed.
func extensions(ctx context.Context, q interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}) ([]string, error) {
	rows, err := q.Query(ctx, `select format(E'do $$ begin create schema if not exists %1$I; create extension if not exists %2$I with schema %1$I;\nexception when others then raise notice %3$L; end $$;\n',
		nspname, extname, 'extension ' || extname || ' is missing') from pg_extension join pg_namespace n on n.oid = extnamespace where extname <> 'plpgsql' order by extname`)
	if err != nil {
		return nil, fmt.Errorf("list the extensions: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// makeExtensions makes the extensions of the application's database in the new one: the application those
// that PostgreSQL trusts it with, the administrator what it may.
func (a *Admin) makeExtensions(ctx context.Context, name string) error {
	own, err := a.app.Connect(ctx)
	if err != nil {
		return err
	}
	defer own.Close(ctx)
	statements, err := extensions(ctx, own)
	if err != nil || len(statements) == 0 {
		return err
	}
	for _, maker := range []*Database{a.app, a.Database} {
		if err := maker.On(name).exec(ctx, statements...); err != nil {
			return fmt.Errorf("make the extensions of database %s: %w", name, err)
		}
	}
	return nil
}
