package mattermost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// keptQuoted are settings that PostgreSQL keeps as SQL writes them: names, each quoted where it needs to be.
var keptQuoted = []string{"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries", "shared_preload_libraries",
	"unix_socket_directories"}

// copySettings repeats on the database name what belongs to the application's but is not in it: the
// settings of ALTER DATABASE and of ALTER ROLE … IN DATABASE, its privileges, its limit of connections
// and its comment. What the administrator may not set, the application can for itself, and the superuser
// on this host. A scratch database, which takes nothing's place, does without what neither can.
func (a *Admin) copySettings(ctx context.Context, conn *pgx.Conn, name string) error {
	if err := a.repeatSettings(ctx, conn, name); err != nil {
		return fmt.Errorf("copy the settings of database %s: %w", a.target, advised(err))
	}
	return nil
}

func (a *Admin) repeatSettings(ctx context.Context, conn *pgx.Conn, name string) error {
	settings, err := a.settings(ctx, conn)
	if err != nil {
		return err
	}
	own, err := a.privileges(ctx, conn, name)
	if err != nil {
		return err
	}
	for _, statement := range own {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	for _, s := range settings {
		statement := s.statement(name)
		_, err := conn.Exec(ctx, statement)
		for _, other := range []*Database{a.app, a.super} {
			if err == nil || other == nil {
				continue
			}
			if e := other.exec(ctx, statement); e == nil {
				err = nil
			} else {
				err = errors.Join(err, e)
			}
		}
		if err != nil && !made(a.target, name, ScratchName) {
			return fmt.Errorf("%w: %w", ErrNoCopy, err)
		}
	}
	return nil
}

// setting is one of ALTER DATABASE … SET, or with Role of ALTER ROLE … IN DATABASE … SET.
type setting struct{ Role, Word string }

func (a *Admin) settings(ctx context.Context, conn *pgx.Conn) ([]setting, error) {
	rows, err := conn.Query(ctx, `select coalesce(r.rolname, ''), unnest(s.setconfig) from pg_db_role_setting s
		join pg_database d on d.oid = s.setdatabase left join pg_roles r on r.oid = s.setrole where d.datname = $1 order by s.setrole`, a.target)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[setting])
}

func (s setting) statement(database string) string {
	what := "database " + quote(database)
	if s.Role != "" {
		what = "role " + quote(s.Role) + " in " + what
	}
	key, value, _ := strings.Cut(s.Word, "=")
	if !slices.Contains(keptQuoted, key) {
		value = literal(value)
	} else if value == "" {
		value = "''"
	}
	return fmt.Sprintf("alter %s set %s = %s", what, settingName(key), value)
}

// settingName quotes each part of a setting's name, as of an extension's.
func settingName(key string) string { return pgx.Identifier(strings.Split(key, ".")).Sanitize() }

// privileges are the statements that give database name the privileges, the limit of connections and
// the comment of the application's.
func (a *Admin) privileges(ctx context.Context, conn *pgx.Conn, name string) ([]string, error) {
	var explicit bool
	var limit int
	var comment string
	err := conn.QueryRow(ctx, `select datacl is not null, datconnlimit, coalesce(shobj_description(oid, 'pg_database'), '')
		from pg_database where datname = $1`, a.target).Scan(&explicit, &limit, &comment)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `select format('grant %s on database %s to %s%s', x.privilege_type, quote_ident($2),
		case when x.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end, case when x.is_grantable then ' with grant option' else '' end)
		from pg_database d, aclexplode(d.datacl) x where d.datname = $1 and x.grantee <> d.datdba`, a.target, name)
	if err != nil {
		return nil, err
	}
	grants, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var statements []string
	if explicit {
		statements = append(statements, fmt.Sprintf("revoke all on database %s from public", quote(name)))
	}
	statements = append(statements, grants...)
	if limit >= 0 {
		statements = append(statements, fmt.Sprintf("alter database %s connection limit %d", quote(name), limit))
	}
	if comment != "" {
		statements = append(statements, fmt.Sprintf("comment on database %s is %s", quote(name), literal(comment)))
	}
	return statements, nil
}

// like returns the clauses of CREATE DATABASE that make a new database as the application's is: owner,
// encoding, collation and, where the role may use it, tablespace.
func (a *Admin) like(ctx context.Context, conn *pgx.Conn) (string, error) {
	var encoding, tablespace string
	var has map[string]any // columns that came with PostgreSQL 15, 16 and 17 are not in older ones
	err := conn.QueryRow(ctx, `select pg_encoding_to_char(d.encoding), to_jsonb(d),
		case when t.spcname <> 'pg_default' and has_tablespace_privilege(t.oid, 'CREATE') then t.spcname else '' end
		from pg_database d join pg_tablespace t on t.oid = d.dattablespace where d.datname = $1`, a.target).Scan(&encoding, &has, &tablespace)
	if err != nil {
		return "", err
	}
	text := func(columns ...string) string {
		for _, c := range columns {
			if s, ok := has[c].(string); ok {
				return s
			}
		}
		return ""
	}
	clauses := []string{"owner " + quote(a.owner), "encoding " + literal(encoding),
		"lc_collate " + literal(text("datcollate")), "lc_ctype " + literal(text("datctype"))}
	switch locale := text("datlocale", "daticulocale"); text("datlocprovider") {
	case "i":
		clauses = append(clauses, "locale_provider icu", "icu_locale "+literal(locale))
		if rules := text("daticurules"); rules != "" {
			clauses = append(clauses, "icu_rules "+literal(rules))
		}
	case "b":
		clauses = append(clauses, "locale_provider builtin", "builtin_locale "+literal(locale))
	}
	if tablespace != "" {
		clauses = append(clauses, "tablespace "+quote(tablespace))
	}
	return strings.Join(clauses, " "), nil
}
