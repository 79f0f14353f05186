package mattermost

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// play1 plays text as the role.
func (d *Database) play1(t *testing.T, text string) error {
	t.Helper()
	return d.play(t.Context(), "", func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}, func() error { return nil })
}

// A backup's SQL cannot have this host run anything, wherever in it a command of psql's is.
func TestScriptRunsNoCommands(t *testing.T) {
	s := startPostgres(t)
	d := s.as(t, "postgres", "postgres")
	d.sql(t, "create table a (b text)")
	for _, c := range []struct{ name, text string }{
		{"a line of its own", `\! touch FILE` + "\n"},
		{"after a statement", `select 1 \! touch FILE` + "\n"},
		{"after rows", "COPY a (b) FROM stdin;\nx\n\\.\n\\! touch FILE\n"},
		{"output to a program", `\o |touch FILE` + "\nselect 1;\n"},
		{"after a line that looks like the end of rows", "COPY a (b) FROM stdin;\n\\.\n\\! touch FILE\n\\.\n"},
		{"beside the word that pg_dump begins with", "\\restrict x\n\\! touch FILE\n\\unrestrict x\n"},
		{"after a quote in a comment", "-- it's\n\\! touch FILE\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "touched")
			if err := d.play1(t, strings.ReplaceAll(c.text, "FILE", file)); err == nil || !strings.Contains(err.Error(), "syntax error") {
				t.Errorf("error is %v", err)
			}
			if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
				t.Error("it ran")
			}
		})
	}
}

// Whatever is quoted stays what it is: no line in it is taken for rows or for their end.
func TestScriptKeepsWhatIsQuoted(t *testing.T) {
	s := startPostgres(t)
	d := s.as(t, "postgres", "postgres")
	lines := "\nCOPY a (b) FROM stdin;\n\\restrict x\n\\.\n--\n/* it''s */\n"
	text := "\\restrict x\n--\n-- Name: it's; Type: TABLE\n--\n\nSET client_encoding = 'LATIN1';\ncreate table a (b text);\n" +
		"COPY a (b) FROM stdin;\nu\xfc\\\\.\n\\\\restrict\n\\N\n" + strings.Repeat("x", 3<<20) + "\n\\.\n\n" +
		"insert into a values ('" + lines + "'), (E'" + lines + "it\\'s'), ($_$" + lines + "$_$);\n" +
		"/* COPY\nCOPY a (b) FROM stdin;\n*/\n" +
		"create function \"o\nCOPY a (b) FROM stdin;\n\"(int) returns int language sql as $$ select $1 -- it's\nCOPY a (b) FROM stdin;\n$$;\n\\unrestrict x\n"
	text = strings.Replace(text, "select $1 -- it's\nCOPY a (b) FROM stdin;\n", "select $1 -- it's\n/*\nCOPY a (b) FROM stdin;\n*/\n", 1)
	if err := d.play1(t, text); err != nil {
		t.Fatal(err)
	}
	quoted := strings.ReplaceAll(lines, "''", "'")
	for query, want := range map[string]string{
		"select count(*)::text from a":                                "7",
		"select b from a where b like 'u%'":                           "uü\\.",
		"select count(*)::text from a where b is null":                "1",
		"select max(length(b))::text from a":                          "3145728",
		"select b from a where b = " + literal(quoted):                quoted,
		"select count(*)::text from a where b like " + literal("%'s"): "1",
		"select count(*)::text from a where b = " + literal(lines):    "1",
		"select proname from pg_proc where proname like 'o%COPY%'":    "o\nCOPY a (b) FROM stdin;\n",
	} {
		if got := d.one(t, query); got != want {
			t.Errorf("%.80s: %q", query, got)
		}
	}
}

// All of a script is undone when it does not come whole, or does not agree.
func TestPlayIsAllOrNothing(t *testing.T) {
	s := startPostgres(t)
	d := s.as(t, "postgres", "postgres")
	broken := errors.New("the network is cut")
	for _, c := range []struct {
		name, text  string
		feed, check error
		want        string
	}{
		{"the feed fails between statements", "create table a (b text);\n", broken, nil, "the network is cut"},
		{"the feed fails among rows", "create table a (b text);\nCOPY a (b) FROM stdin;\nx\n", broken, nil, "the network is cut"},
		{"the end is missing", "create table a (b text);\nCOPY a (b) FROM stdin;\nx\n", nil, nil, "the dump ends in the middle of a table"},
		{"a row is wrong", "create table a (b int);\nCOPY a (b) FROM stdin;\nx\n\\.\n" + strings.Repeat("select 1;\n", 1<<18), nil, nil, "invalid input syntax"},
		{"a statement is wrong", "create table a (b int);\ncreate table a (b int);\n", nil, nil, "already exists"},
		{"it does not agree", "create table a (b text);\n", nil, broken, "the network is cut"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := d.play(t.Context(), "", func(_ context.Context, w io.Writer) error {
				if _, err := io.WriteString(w, c.text); err != nil {
					return err
				}
				return c.feed
			}, func() error { return c.check })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v", err)
			}
			if left := d.one(t, "select count(*)::text from pg_tables where schemaname = 'public'"); left != "0" {
				t.Errorf("%s tables are left", left)
			}
		})
	}
}
