package mattermost

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"townsquare/upgrade/internal/untrusted"
)

// readEnvFile reads a file of systemd's EnvironmentFile=: KEY=value lines, # and ; comments, single
// and double quotes, a backslash at the end of a line joins the next. A file that is not there is
// an empty environment when optional is set.
// Rules: systemd.exec(5), EnvironmentFile=.
func readEnvFile(path string, optional bool, into map[string]string) error {
	data, err := untrusted.ReadFile(path, 1<<20)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(data), "\\\n", "")
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("read %s: line %d is no KEY=value", path, n+1)
		}
		into[strings.TrimSpace(key)] = unquote(strings.TrimSpace(value))
	}
	return nil
}

// unquote takes off quotes and, outside single quotes, backslashes.
func unquote(s string) string {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote && quote != 0:
			quote = 0
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// splitQuoted splits what `systemctl show` prints for Environment=: words with spaces are quoted.
func splitQuoted(s string) []string {
	var words []string
	var quote byte
	start := -1
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'':
			if start < 0 {
				start = i
			}
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
			if start < 0 {
				start = i
			}
		case c == ' ':
			if start >= 0 {
				words = append(words, unquote(s[start:i]))
				start = -1
			}
		case start < 0:
			start = i
		}
	}
	if start >= 0 {
		words = append(words, unquote(s[start:]))
	}
	return words
}
