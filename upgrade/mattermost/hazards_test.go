package mattermost

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatements(t *testing.T) {
	const sql = `-- morph:nontransactional; not the end
CREATE  INDEX CONCURRENTLY IF NOT EXISTS idx ON "Posts"(UserId); /* one /* in */ the; other */
INSERT INTO x VALUES ('A;B -- c', "D");
DO $body$ BEGIN; DROP TABLE y; END $body$;
select 1`
	want := []string{`create index concurrently if not exists idx on "Posts"(userid)`, `insert into x values ('A;B -- c', "D")`,
		"do $$", "select 1"}
	if diff := cmp.Diff(want, statements(sql)); diff != "" {
		t.Error(diff)
	}
	for _, broken := range []string{"'", `"`, "/*", "--", "$$", "$x$ $y$", ";"} { // and it ends
		_ = statements(broken)
	}
}

// What each of these does to a server that runs is what PostgreSQL's documentation says of its
// locks; the column is the vendor's own 000115, on which 7.x answered 500.
func TestHazards(t *testing.T) {
	bytes := map[string]int64{"posts": 948 << 20, "poststats": 1 << 20}
	for _, c := range []struct{ sql, why string }{
		{"CREATE TABLE IF NOT EXISTS new (id varchar(26) PRIMARY KEY); CREATE UNIQUE INDEX a ON new (id); ALTER TABLE new ADD COLUMN b int", ""},
		{"CREATE TYPE granted AS ENUM ('a', 'b');", ""},
		{"CREATE INDEX IF NOT EXISTS idx ON PostStats(userid)", ""},
		{"-- morph:nontransactional\nCREATE INDEX CONCURRENTLY IF NOT EXISTS idx ON posts(userid)", ""},
		{"ALTER TABLE posts SET (autovacuum_vacuum_scale_factor = 0.1)", ""},
		{"", "does not say"},
		{"CREATE INDEX idx ON Posts (originalid)", "nobody can write to posts (948 MB)"},
		{"CREATE UNIQUE INDEX CONCURRENTLY idx ON posts (userid)", "may not be unique"},
		{"ALTER TABLE users ADD COLUMN IF NOT EXISTS lastlogin bigint NOT NULL DEFAULT 0", "another column of users"},
		{"ALTER TABLE users DROP COLUMN x", "changes users"},
		{"ALTER TABLE users RENAME TO people", "changes users"},
		{"ALTER TABLE users ALTER COLUMN props TYPE jsonb", "changes users"},
		{"CREATE TABLE IF NOT EXISTS PostStats (userid int); CREATE INDEX a ON PostStats (userid)", "there is a table poststats already"},
		{"CREATE TABLE a (b int REFERENCES users(id))", "foreign key"},
		{"DROP INDEX IF EXISTS idx", "may rely on"},
		{"DROP TABLE trueupreviewhistory", "may rely on"},
		{"DO $$ BEGIN ALTER TABLE a ADD b int; END $$", "may rely on"},
		{"UPDATE preferences SET value = 1", "may rely on"},
		{"CREATE TABLE a AS SELECT * FROM posts", "may rely on"},
	} {
		found, err := Hazards(planOf(t, c.sql), bytes)
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.sql, err)
		case c.why == "" && len(found) > 0:
			t.Errorf("%s: %v", c.sql, found)
		case c.why != "" && (len(found) != 1 || !strings.Contains(found[0].Why, c.why) || found[0].Migration != "000200_it"):
			t.Errorf("%s: %v", c.sql, found)
		}
	}
}
