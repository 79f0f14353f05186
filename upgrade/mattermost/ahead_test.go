package mattermost

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// planOf is a saved plan with one migration for each of sql, from 000200_it on.
func planOf(t *testing.T, sql ...string) string {
	t.Helper()
	type migration struct {
		RawName string
		Bytes   []byte
	}
	var all []migration
	for i, s := range sql {
		all = append(all, migration{fmt.Sprintf("%06d_it.up.sql", 200+i), []byte(s)})
	}
	data, err := json.Marshal(map[string]any{"Version": 1, "Migrations": all})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIndexesAhead(t *testing.T) {
	bytes := map[string]int64{"posts": 948 << 20, "users": 1}
	for _, c := range []struct {
		sql  []string
		want []Index
	}{
		{[]string{ // the vendor's own 000102, 000113 and 000118, with what stands around them
			"ALTER TABLE users ADD COLUMN IF NOT EXISTS lastlogin bigint NOT NULL DEFAULT 0;",
			"CREATE INDEX IF NOT EXISTS idx_posts_original_id ON Posts(originalid);",
			"CREATE TABLE IF NOT EXISTS retention (id varchar(26) PRIMARY KEY); CREATE INDEX IF NOT EXISTS idx_retention ON retention (id);",
			"-- morph:nontransactional\nCREATE INDEX CONCURRENTLY IF NOT EXISTS idx_users_name ON users USING gin (to_tsvector('English', name))",
		}, []Index{
			{"idx_posts_original_id", "create index concurrently if not exists idx_posts_original_id on posts(originalid)"},
			{"idx_users_name", "create index concurrently if not exists idx_users_name on users using gin (to_tsvector('English', name))"},
		}},
		{[]string{"CREATE INDEX idx ON posts (a)"}, nil},                       // the plan would fail on one that is there
		{[]string{"CREATE UNIQUE INDEX IF NOT EXISTS idx ON posts (a)"}, nil},  // it could refuse what the old version writes
		{[]string{"CREATE INDEX IF NOT EXISTS idx ON poststats (a)"}, nil},     // there is no such table yet
		{[]string{"CREATE INDEX IF NOT EXISTS \"Idx\" ON \"Posts\" (a)"}, nil}, // another table
		{[]string{"CREATE INDEX IF NOT EXISTS a ON posts (a)", "ALTER TABLE posts RENAME TO articles"}, nil},
		{[]string{"CREATE INDEX IF NOT EXISTS a ON posts (a)", "DO $$ BEGIN ALTER INDEX a RENAME TO b; END $$"}, nil},
	} {
		got, err := IndexesAhead(planOf(t, c.sql...), bytes)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.sql, diff)
		}
	}
}

func TestMakeIndexes(t *testing.T) {
	s := startPostgres(t)
	d := s.as(t, "postgres", "postgres")
	fill(t, d)
	d.sql(t, "create index idx_there on posts (updateat)")
	plan := planOf(t, "CREATE INDEX IF NOT EXISTS idx_there ON posts (id); CREATE INDEX IF NOT EXISTS idx_later ON posts (column_to_come);",
		"CREATE INDEX IF NOT EXISTS Idx_Posts ON Posts (updateat, id);", "CREATE INDEX IF NOT EXISTS idx_users ON users (updateat);")
	bytes, err := d.TableBytes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	indexes, err := IndexesAhead(plan, bytes)
	if err != nil || len(indexes) != 4 {
		t.Fatalf("%v, %v", indexes, err)
	}
	// Somebody is at work on posts, for longer than is waited for; nobody else notices.
	writer, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(context.WithoutCancel(t.Context()))
	if _, err := writer.Exec(t.Context(), "begin; lock table posts in row exclusive mode"); err != nil {
		t.Fatal(err)
	}
	if made, err := d.MakeIndexes(t.Context(), indexes, 50*time.Millisecond); err == nil || len(made) > 0 || !strings.Contains(err.Error(), "idx_posts") {
		t.Errorf("a lock that is not to be had: made %v, %v", made, err)
	}
	d.sql(t, "set lock_timeout = '1s'; insert into posts (message) values ('meanwhile')")
	if _, err := writer.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := d.EndMigrator(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"idx_posts", "idx_users"}, nil} { // the second time they are there
		made, err := d.MakeIndexes(t.Context(), indexes, time.Second)
		if err != nil || !slices.Equal(made, want) {
			t.Errorf("made %v, %v, want %v", made, err, want)
		}
	}
	if invalid, err := d.InvalidIndexes(t.Context()); err != nil || len(invalid) > 0 {
		t.Errorf("unfinished: %v, %v", invalid, err)
	}
	if got := d.one(t, "select pg_get_indexdef('idx_posts'::regclass)"); got != "CREATE INDEX idx_posts ON public.posts USING btree (updateat, id)" {
		t.Error(got)
	}
}
