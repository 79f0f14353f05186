package printable

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const evil = "a\x1b[31mb\r\nc\td\u009b2J\u202ee\u2028f\x00\x7f\ufeffg\u00a0h\xff"

func TestLine(t *testing.T) {
	if got := Line(evil); got != "a[31mb  c d2Je fg h\ufffd" {
		t.Errorf("line %q", got)
	}
	if got := Lines(evil); got != "a[31mb \nc\td2Je fg h\ufffd" {
		t.Errorf("lines %q", got)
	}
	long := Line(strings.Repeat("ä", most))
	if len(long) > most || !strings.HasSuffix(long, "ä…") || Line(long) != long {
		t.Errorf("%d bytes", len(long))
	}
}

func TestClean(t *testing.T) {
	type named string
	type inner struct {
		Text string
		Diff string `printable:"lines"`
	}
	type all struct {
		inner
		Named   named
		List    []string
		Fixed   [1]string
		Map     map[named]inner
		Any     any
		Pointer *inner
		When    time.Time
		None    any
		Raw     string `printable:"-"`
		secret  string
	}
	when := time.Date(2026, 11, 22, 1, 2, 3, 0, time.Local)
	v := all{inner{"\x1b", "a\n\x1b"}, "\x1b", []string{"\x1b\n"}, [1]string{"\x1b"}, map[named]inner{"\x1bk": {"\x1b", "\n"}},
		map[string]any{"\x1b": []any{"x\x1b\n", 1.5}}, &inner{Text: "\x1b"}, when, nil, "\x1b", "\x1b"}
	Clean(&v)
	want := all{inner{"\x1b", "a\n\x1b"}, "", []string{" "}, [1]string{""}, map[named]inner{"k": {"", "\n"}},
		map[string]any{"": []any{"x ", 1.5}}, &inner{}, when, nil, "\x1b", "\x1b"}
	want.inner = inner{"", "a\n"}
	if diff := cmp.Diff(want, v, cmp.AllowUnexported(all{}, inner{})); diff != "" {
		t.Error(diff)
	}
}
