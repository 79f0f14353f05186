package mattermost

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Create makes the empty database name with the application's owner, encoding, privileges and
// settings. A half-made one of an earlier attempt is replaced. Only names of our own making are.
func (a *Admin) Create(ctx context.Context, name string) error {
	conn, err := a.withoutOurs(ctx, name)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var encoding, collate, ctype string
	err = conn.QueryRow(ctx, "select pg_encoding_to_char(encoding), datcollate, datctype from pg_database where datname = $1", a.target).
		Scan(&encoding, &collate, &ctype)
	if err != nil {
		return fmt.Errorf("make database %s: %w", name, err)
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("create database %s template template0 owner %s encoding %s lc_collate %s lc_ctype %s",
		quote(name), quote(a.owner), literal(encoding), literal(collate), literal(ctype)))
	if err != nil {
		return fmt.Errorf("make database %s: %w", name, err)
	}
	if err := a.copySettings(ctx, conn, name); err != nil {
		return err
	}
	// Where the administrator owns the database, as on a managed service, its schema is not the
	// application's by itself.
	return a.app.On(name).Grant(ctx, a.Database)
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

// ScratchName names a database that is looked at and dropped again.
func ScratchName(database string, t time.Time) string { return named(database, "scratch", t) }

// RestoredName names a database that was filled from a backup and waits for its turn.
func RestoredName(database string, t time.Time) string { return named(database, "restored", t) }

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
