package mattermost

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Away reports whether err is of a database server that cannot be reached now, and may be later: no
// connection, or one that is starting, shutting down or full. A refused password or a database that does
// not exist is none of that.
// Rule: classes 08, 53 and 57 of https://www.postgresql.org/docs/current/errcodes-appendix.html
func Away(err error) bool {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		switch said.Code[:min(2, len(said.Code))] {
		case "08", "53", "57":
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err)
}
