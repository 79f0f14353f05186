package mattermost

import (
	"errors"
	"net/url"
	"strings"
)

// word is one key=value of a data source.
type word struct{ key, value string }

// parseWords reads libpq's form: key=value words with blanks around them and around the sign; a
// value in single quotes may hold blanks, and a backslash takes the next character as it is.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
func parseWords(dsn string) ([]word, error) {
	var words []word
	rest := strings.TrimSpace(dsn)
	for rest != "" {
		key, after, ok := strings.Cut(rest, "=")
		if key = strings.TrimSpace(key); !ok || key == "" || strings.ContainsAny(key, " \t\n'") {
			return nil, errors.New("a word of the data source is not key=value")
		}
		rest = strings.TrimLeft(after, " \t\n")
		quoted := strings.HasPrefix(rest, "'")
		if quoted {
			rest = rest[1:]
		}
		var value strings.Builder
		i, closed := 0, !quoted
		for ; i < len(rest); i++ {
			c := rest[i]
			if c == '\\' && i+1 < len(rest) {
				i++
				value.WriteByte(rest[i])
				continue
			}
			if quoted && c == '\'' {
				closed = true
				i++
				break
			}
			if !quoted && strings.IndexByte(" \t\n", c) >= 0 {
				break
			}
			value.WriteByte(c)
		}
		if !closed {
			return nil, errors.New("a quoted value of the data source has no end")
		}
		words = append(words, word{key, value.String()})
		rest = strings.TrimLeft(rest[i:], " \t\n")
	}
	return words, nil
}

// joinWords writes words so that parseWords and PostgreSQL read them back.
func joinWords(words []word) string {
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var parts []string
	for _, w := range words {
		parts = append(parts, w.key+"='"+escape.Replace(w.value)+"'")
	}
	return strings.Join(parts, " ")
}

// tlsEnv repeats the DSN's ssl words for libpq.
func tlsEnv(dsn string) []string {
	var env []string
	add := func(key, value string) {
		if value != "" {
			env = append(env, "PG"+strings.ToUpper(key)+"="+value)
		}
	}
	keys := []string{"sslmode", "sslrootcert", "sslcert", "sslkey"}
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		for _, k := range keys {
			add(k, u.Query().Get(k))
		}
		return env
	}
	words, _ := parseWords(dsn) // ParseDSN has read it already
	for _, k := range keys {
		for _, w := range words {
			if w.key == k {
				add(k, w.value)
			}
		}
	}
	return env
}
