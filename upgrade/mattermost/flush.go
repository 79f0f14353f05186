package mattermost

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// share asks a server that can (PostgreSQL 18) to let a copy share the blocks of what it is made from,
// where its file system can do that too, such as XFS or Btrfs: then it takes no time at any size.
func share(ctx context.Context, conn *pgx.Conn, version int) (bool, error) {
	if version < 180000 {
		return false, nil
	}
	_, err := conn.Exec(ctx, "set file_copy_method = clone")
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "22023" { // invalid_parameter_value: it was built where nothing can
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("copy the database: %w", err)
	}
	return true, nil
}

// Flush writes what the server has in memory only to its files, so that a copy which is made soon
// need not wait for that. A server whose roles may not ask for it is left alone.
func (a *Admin) Flush(ctx context.Context) error {
	for _, role := range []*Database{a.Database, a.super} {
		if role == nil {
			continue
		}
		conn, err := role.Connect(ctx)
		if err != nil {
			continue // what needs the database next will say so
		}
		_, err = conn.Exec(ctx, "checkpoint")
		conn.Close(ctx)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "42501" { // insufficient_privilege
			continue
		}
		if err != nil {
			return fmt.Errorf("flush the database: %w", err)
		}
		return nil
	}
	return nil
}
