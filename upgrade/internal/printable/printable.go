// Package printable makes text from elsewhere safe to show: no control character reaches a terminal,
// and no line break starts a line of its own in a table, a log or a file of key=value lines.
package printable

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// most is the number of bytes that stay of one text. The longest that servers send are the differences
// of a file, of a few kilobytes.
const most = 64 << 10

// Line returns s on one line, without control characters and without those that change the direction of
// writing (Trojan Source, CVE-2021-42574).
func Line(s string) string { return clean(s, false) }

// Lines returns s as Line does, with its line breaks and tabs.
func Lines(s string) string { return clean(s, true) }

func clean(s string, lines bool) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return r
		case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\ufeff':
			return -1
		}
		return r // an invalid byte is U+FFFD by now
	}, s)
	if len(s) <= most {
		return s
	}
	cut := most - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// Clean makes every text that v points to a Line, map keys included. A field with the tag
// `printable:"lines"` keeps its line breaks, one with `printable:"-"` stays as it is.
func Clean(v any) { visit(reflect.ValueOf(v), false) }

func visit(v reflect.Value, lines bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			visit(v.Elem(), lines)
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(clean(v.String(), lines))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if tag := v.Type().Field(i).Tag.Get("printable"); tag != "-" {
				visit(v.Field(i), tag == "lines")
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			visit(v.Index(i), lines)
		}
	case reflect.Interface:
		if !v.IsNil() && v.CanSet() {
			v.Set(cleaned(v.Elem(), lines))
		}
	case reflect.Map:
		if v.IsNil() || !v.CanSet() {
			return
		}
		fresh := reflect.MakeMapWithSize(v.Type(), v.Len())
		for pairs := v.MapRange(); pairs.Next(); {
			fresh.SetMapIndex(cleaned(pairs.Key(), false), cleaned(pairs.Value(), lines))
		}
		v.Set(fresh)
	}
}

// cleaned returns a clean copy of what cannot be changed where it is.
func cleaned(v reflect.Value, lines bool) reflect.Value {
	fresh := reflect.New(v.Type()).Elem()
	fresh.Set(v)
	visit(fresh, lines)
	return fresh
}
