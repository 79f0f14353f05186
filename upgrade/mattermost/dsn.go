package mattermost

import (
	"errors"
	"maps"
	"net/url"
	"slices"
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

// encodeQuery writes the parameters of a URL so that PostgreSQL reads them back: it knows %20 only, and
// the server's driver reads a plus sign as a blank, too.
func encodeQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

// toolOptions repeats a data source's settings, such as search_path, for PostgreSQL's own programs, as
// PGOPTIONS has them: a backslash before a blank keeps it.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS
func toolOptions(params map[string]string) string {
	escape := strings.NewReplacer(`\`, `\\`, " ", `\ `)
	var words []string
	for _, key := range slices.Sorted(maps.Keys(params)) {
		if key != "options" && key != "application_name" {
			words = append(words, "-c", key+"="+escape.Replace(params[key]))
		}
	}
	return strings.TrimSpace(params["options"] + " " + strings.Join(words, " "))
}

// dsnFor is a data source for another database of the same server, and, when address is not empty,
// by way of another address: the certificate's name is not that of the address then, so that only
// who signed it is verified. ParseDSN has read dsn before.
func dsnFor(dsn, name, address string) string {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return wordsFor(dsn, name, address)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn
	}
	u.Path = "/" + name
	q := u.Query()
	q.Del("dbname")
	if address != "" {
		u.Host = address
		q.Del("host")
		q.Del("port")
		if q.Get("sslmode") == "verify-full" {
			q.Set("sslmode", "verify-ca")
		}
	}
	u.RawQuery = encodeQuery(q)
	return u.String()
}

// with is the data source with settings for the session, in the place of those that it has.
func (d *Database) with(settings ...word) string {
	if u, err := url.Parse(d.dsn); err == nil && u.Scheme != "" {
		q := u.Query()
		for _, w := range settings {
			q.Set(w.key, w.value)
		}
		u.RawQuery = encodeQuery(q)
		return u.String()
	}
	words, _ := parseWords(d.dsn) // ParseDSN has read it already
	words = slices.DeleteFunc(words, func(w word) bool { return slices.ContainsFunc(settings, func(s word) bool { return s.key == w.key }) })
	return joinWords(append(words, settings...))
}

func wordsFor(dsn, name, address string) string {
	words, _ := parseWords(dsn)
	instead := []word{{"dbname", name}}
	if host, port, ok := strings.Cut(address, ":"); ok {
		instead = append(instead, word{"host", host}, word{"port", port})
	}
	words = slices.DeleteFunc(words, func(w word) bool {
		return address != "" && w.key == "hostaddr" || slices.ContainsFunc(instead, func(i word) bool { return i.key == w.key })
	})
	for i, w := range words {
		if address != "" && w.key == "sslmode" && w.value == "verify-full" {
			words[i].value = "verify-ca"
		}
	}
	return joinWords(append(words, instead...))
}
