package mattermost

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// shortLock is how large a table may be, in bytes, whose writers wait while an index of it is made:
// PostgreSQL indexes well over 100 MB a second, so that nobody waits for more than a blink.
const shortLock = 16 << 20

// Hazard is why a migration must wait until the old version is stopped.
type Hazard struct {
	Migration string // such as "000115_user_reporting_changes"
	Statement string // its beginning
	Why       string
}

func (h Hazard) String() string { return fmt.Sprintf("%s: %s (%s)", h.Migration, h.Why, h.Statement) }

// Hazards reads a plan as PlanMigrations kept it, and says what in it the old version may not live
// with while it serves. Only what is known to be harmless passes: new tables and types, indexes
// whose making holds nobody up, settings of a table. A column that is added to a table is a hazard:
// the old version reads some tables whole, and 7.x answered 500 when users had one column more than
// it knew. bytes tells how large each table is that is there.
func Hazards(plan string, bytes map[string]int64) ([]Hazard, error) {
	data, err := os.ReadFile(plan)
	if err != nil {
		return nil, fmt.Errorf("read the plan of the migrations: %w", err)
	}
	var saved struct {
		Migrations []struct {
			RawName string
			Bytes   []byte
		}
	}
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, fmt.Errorf("read the plan of the migrations: %w", err)
	}
	var found []Hazard
	made := map[string]bool{}
	for _, m := range saved.Migrations {
		name := strings.TrimSuffix(m.RawName, ".up.sql")
		if len(m.Bytes) == 0 {
			found = append(found, Hazard{Migration: name, Why: "the plan does not say what it does"})
		}
		for _, s := range statements(string(m.Bytes)) {
			if why := hazard(s, made, bytes); why != "" {
				found = append(found, Hazard{Migration: name, Statement: shortened(s), Why: why})
			}
		}
	}
	return found, nil
}

const sqlName = `(?:[a-z_][a-z0-9_]*\.)?"?([a-z_][a-z0-9_]*)"?`

var (
	newTable   = regexp.MustCompile(`^create table (?:if not exists )?` + sqlName + ` ?\(.*\)$`)
	newType    = regexp.MustCompile(`^create type ` + sqlName + ` as enum ?\(`)
	newIndex   = regexp.MustCompile(`^create (unique )?index (concurrently )?(?:if not exists )?(?:` + sqlName + ` )?on (?:only )?` + sqlName + `[ (]`)
	alterTable = regexp.MustCompile(`^alter table (?:if exists )?(?:only )?` + sqlName + ` (.*)$`)
	addColumn  = regexp.MustCompile(`^add (?:column )?(?:if not exists )?` + sqlName + ` `)
)

// hazard says why statement may not run while the old version serves; "" when it may. Tables that
// the plan makes itself are noted in made: nobody uses them yet.
func hazard(statement string, made map[string]bool, bytes map[string]int64) string {
	if m := newTable.FindStringSubmatch(statement); m != nil {
		if strings.Contains(statement, " references ") {
			return "a foreign key locks the table it refers to"
		}
		if _, there := bytes[m[1]]; there {
			return "there is a table " + m[1] + " already, of which nobody knows who uses it"
		}
		made[m[1]] = true
		return ""
	}
	if newType.MatchString(statement) {
		return ""
	}
	if m := newIndex.FindStringSubmatch(statement); m != nil {
		unique, concurrently, table := m[1] != "", m[2] != "", m[4]
		switch {
		case made[table]:
			return ""
		case unique:
			return "what the old version writes may not be unique in " + table
		case !concurrently && bytes[table] > shortLock:
			return fmt.Sprintf("nobody can write to %s (%d MB) meanwhile", table, bytes[table]>>20)
		}
		return ""
	}
	if m := alterTable.FindStringSubmatch(statement); m != nil {
		table, what := m[1], m[2]
		switch {
		case made[table], strings.HasPrefix(what, "set ("):
			return ""
		case addColumn.MatchString(what):
			return "the old version may not know what to do with another column of " + table
		}
		return "it changes " + table + ", which the old version uses"
	}
	return "the old version may rely on what it changes"
}

// statements splits SQL at its semicolons and makes each statement comparable: no comments, single
// spaces, lower case outside of quotes. The bodies of functions and DO blocks become $$.
func statements(sql string) []string {
	var all []string
	var b strings.Builder
	end := func() {
		if s := strings.TrimSpace(b.String()); s != "" {
			all = append(all, s)
		}
		b.Reset()
	}
	space := func() {
		if s := b.String(); s != "" && !strings.HasSuffix(s, " ") {
			b.WriteByte(' ')
		}
	}
	for i := 0; i < len(sql); {
		rest := sql[i:]
		switch c := sql[i]; {
		case strings.HasPrefix(rest, "--"):
			i += until(rest, "\n")
			space()
		case strings.HasPrefix(rest, "/*"):
			i += comment(rest)
			space()
		case c == '\'' || c == '"':
			n := 1 + until(rest[1:], string(c))
			b.WriteString(rest[:n])
			i += n
		case c == '$' && dollar.MatchString(rest):
			tag := dollar.FindString(rest)
			i += len(tag) + until(rest[len(tag):], tag)
			b.WriteString("$$")
		case c == ';':
			end()
			i++
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			space()
			i++
		default:
			b.WriteByte(lower(c))
			i++
		}
	}
	end()
	return all
}

var dollar = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z0-9_]*)?\$`)

// until is the length of s up to the end of mark, or all of it.
func until(s, mark string) int {
	if i := strings.Index(s, mark); i >= 0 {
		return i + len(mark)
	}
	return len(s)
}

// comment is the length of the comment that s begins with; PostgreSQL's may be nested.
func comment(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func shortened(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
