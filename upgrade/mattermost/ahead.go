package mattermost

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Index is one that a plan will make, and that can be made before.
type Index struct {
	Name string
	SQL  string // makes it beside everybody at work
}

var (
	laterIndex = regexp.MustCompile(`^create index (?:concurrently )?if not exists ` + sqlName + ` on (?:only )?` + sqlName + ` ?(?:using |\()`)
	renames    = regexp.MustCompile(`(?i)\brename\b`)
)

// IndexesAhead are the indexes that a saved plan makes of tables that are there, and that can be made
// while the old version serves: it does not see them, but for unique ones, which could refuse what it
// writes. The plan passes over one that it finds. Where the plan renames something there are none:
// the name could mean another table by then. bytes has the tables that are there.
func IndexesAhead(plan string, bytes map[string]int64) ([]Index, error) {
	migrations, err := planned(plan)
	if err != nil {
		return nil, err
	}
	var all []Index
	for _, sql := range migrations {
		if renames.Match(sql) {
			return nil, nil
		}
		for _, s := range statements(string(sql)) {
			m := laterIndex.FindStringSubmatch(s)
			if m == nil {
				continue
			}
			if _, there := bytes[m[2]]; !there {
				continue
			}
			what := strings.TrimPrefix(strings.TrimPrefix(s, "create index "), "concurrently ")
			all = append(all, Index{Name: m[1], SQL: "create index concurrently " + what})
		}
	}
	return all, nil
}

// MakeIndexes makes those that are not there, and names them. It passes over those of columns that
// are not there yet. Nobody waits while an index is made, but it is not ready before those are done
// who were at work; for that, too, it waits no longer than wait. After an error one may be left
// unfinished, and unless ctx lives the statement may go on: EndMigrator ends both.
func (d *Database) MakeIndexes(ctx context.Context, indexes []Index, wait time.Duration) (made []string, err error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, setting := range []string{
		"application_name = " + literal(migrator), "statement_timeout = 0", fmt.Sprintf("lock_timeout = %d", wait.Milliseconds()),
	} {
		if _, err := conn.Exec(ctx, "set "+setting); err != nil {
			return nil, fmt.Errorf("make indexes: %w", err)
		}
	}
	for _, index := range indexes {
		var there bool
		if err := conn.QueryRow(ctx, "select to_regclass($1) is not null", index.Name).Scan(&there); err != nil {
			return made, fmt.Errorf("look for the index %s: %w", index.Name, err)
		}
		if there {
			continue
		}
		_, err := conn.Exec(ctx, index.SQL)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code == "42703" || pg.Code == "42P01") { // undefined_column, undefined_table
			continue
		}
		if err != nil {
			return made, fmt.Errorf("make the index %s: %w", index.Name, err)
		}
		made = append(made, index.Name)
	}
	return made, nil
}
