package mattermost

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Create makes the empty database name with the application's owner, encoding, privileges, settings
// and schema. A half-made one of an earlier attempt is replaced. Only names of our own making are.
func (a *Admin) Create(ctx context.Context, name string) error {
	conn, err := a.withoutOurs(ctx, name)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	clauses, err := a.like(ctx, conn)
	if err != nil {
		return fmt.Errorf("make database %s: %w", name, err)
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("create database %s template template0 %s", quote(name), clauses)); err != nil {
		return fmt.Errorf("make database %s: %w", name, advised(err))
	}
	if err := a.copySettings(ctx, conn, name); err != nil {
		return err
	}
	if err := a.makeSchema(ctx, name); err != nil {
		return err
	}
	if err := a.makeExtensions(ctx, name); err != nil {
		return err
	}
	return a.sameSchema(ctx, name)
}

// Exists says whether the server has a database of that name.
func (a *Admin) Exists(ctx context.Context, name string) (bool, error) {
	conn, err := a.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	return exists(ctx, conn, name)
}

// Sweep drops every scratch database of the application's: what somebody left who was killed.
func (a *Admin) Sweep(ctx context.Context) error {
	conn, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "select datname from pg_database")
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	for _, name := range names {
		if !made(a.target, name, ScratchName) {
			continue
		}
		if err := a.disconnect(ctx, conn, name); err != nil {
			return err
		}
		if err := drop(ctx, conn, name); err != nil {
			return err
		}
	}
	return nil
}
