package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/internal/golden"
	"townsquare/upgrade/phase"
)

// keys adds the keys of a type's JSON, each with its path and kind.
func keys(t reflect.Type, path string, into *[]string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			keys(f.Type, path, into)
		case name == "-" || !f.IsExported():
		default:
			*into = append(*into, fmt.Sprintf("%s%s: %s", path, name, kind(f.Type)))
			keys(f.Type, path+name+".", into)
		}
	}
}

// kind is what a type is in JSON.
func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kind(t.Elem())
	case reflect.Slice:
		return "list of " + kind(t.Elem())
	case reflect.Map, reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return "time"
		}
		return "object"
	case reflect.Bool, reflect.String:
		return t.Kind().String()
	}
	return "number"
}

// TestJSONKeys keeps the keys of all documents: scripts read them. Those of the first level are explained in docs/json.md.
func TestJSONKeys(t *testing.T) {
	doc, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, d := range []struct {
		name string
		of   any
	}{
		{"plan", phase.Preview{}}, {"run", phase.Report{}}, {"status", Status{}}, {"timers", Timers{}}, {"backup list", []Backup{}},
		{"stacks", Result{}}, {"error", failure{}},
	} {
		var list []string
		keys(reflect.TypeOf(d.of), "", &list)
		slices.Sort(list)
		fmt.Fprintf(&text, "%s\n  %s\n", d.name, strings.Join(list, "\n  "))
		for _, key := range list {
			name, _, _ := strings.Cut(key, ":")
			if name = strings.Replace(name, "_ns", "_seconds", 1); !strings.Contains(name, ".") && !bytes.Contains(doc, []byte("`"+name+"`")) {
				t.Errorf("docs/json.md does not explain %s of %s", name, d.name)
			}
		}
	}
	golden.Check(t, "json.golden", text.String())
}

// Outside, durations are in seconds, lists are never null, and an object has the number of its form.
func TestJSONForm(t *testing.T) {
	for _, c := range []struct {
		of   any
		want string
	}{
		{[]Backup(nil), "[]\n"},
		{struct {
			Took time.Duration `json:"took_ns"`
			Text string        `json:"text"`
		}{1610 * time.Millisecond, "\n\"x_ns\": 1\n"}, "{\n  \"format\": 1,\n  \"took_seconds\": 1.61,\n  \"took_ns\": 1610000000,\n  \"text\": \"\\n\\\"x_ns\\\": 1\\n\"\n}\n"},
	} {
		var out, errs bytes.Buffer
		p := printer(&out, &errs)
		p.JSON = true
		if err := p.Result(c.of, nil); err != nil {
			t.Fatal(err)
		}
		p.Close()
		if !json.Valid(out.Bytes()) || out.String() != c.want {
			t.Errorf("%s\nwant %s", out.String(), c.want)
		}
	}
}
