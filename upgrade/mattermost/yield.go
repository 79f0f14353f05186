package mattermost

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// yieldEvery is how soon a new process of the database is found.
const yieldEvery = 200 * time.Millisecond

// Yield has the database's processes that work for us, or on d, give way to all others, where the
// database is on this host: they are not ours, and so no limit of our own service reaches them. It
// goes on until the function it returns is called. What cannot be done is left.
func (d *Database) Yield(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !d.Local() {
			return
		}
		var conn *pgx.Conn
		for {
			select {
			case <-ctx.Done():
				if conn != nil {
					conn.Close(context.WithoutCancel(ctx))
				}
				return
			case <-time.After(yieldEvery):
			}
			if conn == nil || conn.IsClosed() {
				var err error
				if conn, err = d.Connect(ctx); err != nil {
					conn = nil
					continue
				}
			}
			rows, err := conn.Query(ctx, "select pid from pg_stat_activity where datname = current_database() or application_name = 'townsquare'")
			if err != nil {
				continue
			}
			pids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
			for _, pid := range pids {
				if err == nil && isPostgres(int(pid)) {
					giveWay(int(pid))
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

// isPostgres guards against a database in a container, whose numbers mean other processes here.
func isPostgres(pid int) bool {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return err == nil && strings.TrimSpace(string(name)) == "postgres"
}
