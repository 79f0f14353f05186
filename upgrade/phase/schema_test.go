package phase

import (
	"strings"
	"testing"

	"townsquare/upgrade/internal/pgtest"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/state"
)

// A search_path that names no schema of the database is refused before the stop, in words.
func TestNoSchemaIsRefused(t *testing.T) {
	socket, _ := pgtest.Start(t)
	_, exec := community(t, socket, "chat")
	exec("chat", "create role mm login", "alter role mm set search_path = gone")
	db, err := mattermost.ParseDSN("host="+socket+" user=mm dbname=chat", "")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := db.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	op := &Operation{Record: &state.State{}, Facts: &mattermost.Installation{Database: db, Schema: schema}}
	found, err := checkDatabase(t.Context(), op)
	if err != nil || len(found) != 1 || !strings.Contains(found[0].Found, "its search_path is gone") {
		t.Errorf("%v, %v", found, err)
	}
}
