package mattermost

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"townsquare/upgrade/internal/pgtest"
)

func TestAway(t *testing.T) {
	socket, _ := pgtest.Start(t)
	connect := func(source string) error {
		db, err := ParseDSN(source, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.AppliedMigrations(t.Context())
		return err
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"no server":          {connect("host=" + socket + "/nowhere user=postgres dbname=postgres"), true},
		"no port":            {connect("host=127.0.0.1 port=1 user=postgres dbname=postgres sslmode=disable"), true},
		"no such database":   {connect("host=" + socket + " user=postgres dbname=nowhere"), false},
		"no such role":       {connect("host=" + socket + " user=no_such_role dbname=postgres"), false},
		"starting":           {fmt.Errorf("ask: %w", &pgconn.PgError{Code: "57P03"}), true},
		"too many":           {&pgconn.PgError{Code: "53300"}, true},
		"out of time":        {context.DeadlineExceeded, true},
		"a unit that is off": {errors.New("no systemd unit"), false},
		"nothing":            {nil, false},
	} {
		if got := Away(c.err); got != c.want {
			t.Errorf("%s: %v, want %v: %v", name, got, c.want, c.err)
		}
	}
}
