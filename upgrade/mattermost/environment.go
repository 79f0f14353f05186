package mattermost

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"townsquare/upgrade/internal/untrusted"
)

// readEnvFiles reads what EnvironmentFile= names, which may be a pattern. A file that is missing is
// an error, unless optional is set.
// Rules: systemd.exec(5), EnvironmentFile=.
func readEnvFiles(pattern string, optional bool, into map[string]string) error {
	paths, err := globFiles(pattern)
	if err == nil && len(paths) == 0 {
		err = &fs.PathError{Op: "open", Path: pattern, Err: fs.ErrNotExist}
	}
	for _, path := range paths {
		data, e := untrusted.ReadFile(path, 1<<20)
		err = errors.Join(err, e)
		parseEnv(string(data), into)
	}
	if optional {
		return nil
	}
	return err
}

// globFiles is glob(3) as systemd calls it: "!" negates a class, and a wildcard takes no dot at the
// beginning of a name.
func globFiles(pattern string) ([]string, error) {
	paths, err := filepath.Glob(strings.ReplaceAll(pattern, "[!", "[^"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	wanted := strings.Split(pattern, "/")
	return slices.DeleteFunc(paths, func(path string) bool {
		for i, name := range strings.Split(path, "/") {
			if strings.HasPrefix(name, ".") && i < len(wanted) && !strings.HasPrefix(wanted[i], ".") {
				return true
			}
		}
		return false
	}), nil
}

// envName is what systemd takes for the name of a variable; it ignores assignments to others.
var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parseEnv reads KEY=value lines as systemd does: quotes count only where a value begins, or where a
// quoted part of it has ended; a backslash takes the next character as it is, and between double quotes
// only those that a shell would need it for. A line without "=" is ignored.
// Source: parse_env_file_internal in systemd's src/basic/env-file.c.
func parseEnv(text string, into map[string]string) {
	const (
		beforeKey = iota
		inKey
		beforeValue
		inValue
		escape
		single
		double
		doubleEscape
		comment
		commentEscape
	)
	state := beforeKey
	var key, value []byte
	kept := 0 // bytes of an unquoted value that are not blanks at its end
	push := func() {
		if state == inValue {
			value = value[:kept]
		}
		if name := strings.TrimRight(string(key), " \t"); envName.MatchString(name) {
			into[name] = string(value)
		}
		key, value, kept, state = nil, nil, 0, beforeKey
	}
	add := func(c byte) {
		value = append(value, c)
		kept = len(value)
	}
	for i := range len(text) {
		c := text[i]
		end := c == '\n' || c == '\r'
		blank := end || c == ' ' || c == '\t'
		switch state {
		case beforeKey:
			if c == '#' || c == ';' {
				state = comment
			} else if !blank {
				key, state = append(key, c), inKey
			}
		case inKey:
			switch {
			case end:
				key, state = nil, beforeKey
			case c == '=':
				state = beforeValue
			default:
				key = append(key, c)
			}
		case beforeValue:
			switch {
			case end:
				push()
			case c == '\'':
				state = single
			case c == '"':
				state = double
			case c == '\\':
				state = escape
			case !blank:
				add(c)
				state = inValue
			}
		case inValue:
			switch {
			case end:
				push()
			case c == '\\':
				kept, state = len(value), escape
			case blank:
				value = append(value, c)
			default:
				add(c)
			}
		case escape:
			state = inValue
			if !end {
				add(c)
			}
		case single:
			if c == '\'' {
				state = beforeValue
			} else {
				add(c)
			}
		case double:
			switch c {
			case '"':
				state = beforeValue
			case '\\':
				state = doubleEscape
			default:
				add(c)
			}
		case doubleEscape:
			state = double
			if strings.IndexByte("\"\\`$", c) >= 0 {
				add(c)
			} else if c != '\n' {
				add('\\')
				add(c)
			}
		case comment:
			if c == '\\' {
				state = commentEscape
			} else if end {
				state = beforeKey
			}
		case commentEscape: // since systemd 254 the end of the line ends the comment all the same
			if end {
				state = beforeKey
			} else {
				state = comment
			}
		}
	}
	if state >= beforeValue && state <= doubleEscape {
		push()
	}
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
