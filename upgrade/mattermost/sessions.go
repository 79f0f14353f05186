package mattermost

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrInUse says that somebody is connected to a database whom nobody here may send away.
var ErrInUse = errors.New("somebody is connected to the database")

// endSessions ends every session of a database that the role may end.
const endSessions = `select pg_terminate_backend(a.pid) from pg_stat_activity a, pg_roles me, pg_roles them
	where a.datname = $1 and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
	and me.rolname = current_user and them.oid = a.usesysid
	and (me.rolsuper or (not them.rolsuper and pg_has_role(current_user, them.oid, 'USAGE')))`

// disconnect ends everybody's sessions of the database: a copy or a new name is refused while there
// are any. Those that the role may not end, such as a superuser's, the superuser ends where it is
// on this host; elsewhere, as a provider's own monitoring, they are waited for.
func (a *Admin) disconnect(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, endSessions, name); err != nil {
		return fmt.Errorf("end connections to database %s: %w", name, err)
	}
	if a.super == nil {
		return nil
	}
	var left int // what kind of session another role's is nobody may read; who has it everybody may
	err := conn.QueryRow(ctx, `select count(*) from pg_stat_activity a join pg_roles them on them.oid = a.usesysid
		where a.datname = $1 and a.pid <> pg_backend_pid()
		and not pg_has_role(current_user, them.oid, 'USAGE')`, name).Scan(&left)
	if err != nil || left == 0 {
		return err
	}
	super, err := a.super.Connect(ctx)
	if err != nil { // nobody may be the superuser here: then they are waited for
		return nil
	}
	defer super.Close(ctx)
	if _, err := super.Exec(ctx, endSessions, name); err != nil {
		return fmt.Errorf("end connections to database %s: %w", name, err)
	}
	return nil
}

// inUse is PostgreSQL's object_in_use: somebody is connected.
func inUse(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55006"
}
