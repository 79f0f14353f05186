package mattermost

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"townsquare/upgrade/host"
)

// ScratchOf makes the scratch database name a copy of another, which nobody may use meanwhile: a
// checkpoint, or a scratch database itself.
func (a *Admin) ScratchOf(ctx context.Context, from, name string) error {
	if !made(a.target, name, ScratchName) || from == a.target {
		return fmt.Errorf("refusing to copy database %s as %s", from, name)
	}
	return a.clone(ctx, from, name)
}

// Idly runs programs so that nobody notices: they get the processor and the disk only when nobody
// else wants them.
func Idly(run Runner) Runner {
	return func(ctx context.Context, c host.Command) ([]byte, error) {
		c.Args = append([]string{"-n", "19", "ionice", "-c", "3", c.Name}, c.Args...)
		c.Name = "nice"
		return run(ctx, c)
	}
}

// CountAll counts the rows of every table, all at one moment.
func (d *Database) CountAll(ctx context.Context) (Rows, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	var rows Rows
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err = countRows(ctx, tx, "")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count the rows of database %s: %w", d.Name, err)
	}
	return rows, nil
}

// CountRows counts the rows of those of the tables that exist and have any.
func (d *Database) CountRows(ctx context.Context, tables []string) (map[string]int, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows := map[string]int{}
	for _, table := range tables {
		var there bool
		if err := conn.QueryRow(ctx, "select to_regclass($1) is not null", quote(table)).Scan(&there); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", table, err)
		}
		if !there {
			continue
		}
		var n int
		if err := conn.QueryRow(ctx, "select count(*) from "+quote(table)).Scan(&n); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", table, err)
		}
		if n > 0 {
			rows[table] = n
		}
	}
	return rows, nil
}
