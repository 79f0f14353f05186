package infra

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// A setting may be typed in several forms. Each function here returns the one form in which it is compared
// and sent, or the value as it is where it has none: the check of the setting then refuses it.

// plainName takes a name as a zone file or a browser shows it.
func plainName(v string) string {
	v = strings.ToLower(v)
	v = strings.TrimPrefix(strings.TrimPrefix(v, "https://"), "http://")
	return strings.TrimSuffix(strings.TrimSuffix(v, "/"), ".")
}

// within takes the domain off a host that is typed with it.
func within(domain string) func(string) string {
	return func(host string) string {
		switch {
		case domain == "":
			return host
		case host == domain:
			return "@"
		}
		return strings.TrimSuffix(host, "."+domain)
	}
}

// plainCIDR is a range as the API gives it back: 2001:0DB8:0::/48 would otherwise differ at every refresh.
func plainCIDR(v string) string {
	if p, err := netip.ParsePrefix(v); err == nil {
		return p.String()
	}
	return v
}

// plainDay takes a date without quotes, which YAML makes a time of.
func plainDay(v string) string {
	if t, err := time.Parse("2006-01-02 15:04:05 -0700 MST", v); err == nil && t.Equal(t.Truncate(24*time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return v
}

// count is a whole number, in quotes or not.
type count int

// UnmarshalJSON reads 7 and "7".
func (c *count) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	n, err := strconv.Atoi(strings.Trim(string(data), `"`))
	*c = count(n)
	return err
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// asName is the nearest to a text that can name a resource and a bucket.
func asName(v string) string {
	v = notInName.ReplaceAllString(strings.ToLower(v), "-")
	return strings.Trim(v[:min(len(v), 40)], "-")
}

// number is one without quotes in a stack's file: as it is written there, and what YAML makes of it.
type number struct {
	written string
	value   float64
}

// numbersOf returns the numbers without quotes in a stack's file, by key without namespace. YAML makes 11.1 of
// 11.10, and 40 of 050, before the program sees them. A file that cannot be read has none: the engine took
// another.
func numbersOf(path string) map[string]number {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var file struct {
		Config map[string]ast.Node `yaml:"config"`
	}
	if yaml.Unmarshal(text, &file) != nil {
		return nil
	}
	numbers := map[string]number{}
	for key, node := range file.Config {
		var value float64
		switch node.(type) {
		case *ast.IntegerNode, *ast.FloatNode:
			if yaml.NodeToValue(node, &value) == nil {
				numbers[strings.TrimPrefix(key, namespace+":")] = number{node.GetToken().Value, value}
			}
		}
	}
	return numbers
}

// unquoted refuses a number that is another one, or another text, than what is written in the stack's file.
func (r *reader) unquoted(track string) {
	for field := range reflect.TypeFor[Config]().Fields() {
		key := field.Tag.Get("key")
		n, inFile := r.numbers[key]
		v, _ := r.lookup(key)
		if got, err := strconv.ParseFloat(v, 64); !inFile || v == n.written || err != nil || got != n.value {
			continue // where the values differ, the engine took another file's
		}
		meant := n.written
		if field.Type.Kind() == reflect.Int {
			decimal, err := strconv.Atoi(strings.ReplaceAll(n.written, "_", ""))
			if meant = strconv.Itoa(decimal); err != nil || meant == v {
				continue // such as 0x32 and 5e1
			}
		}
		r.add(key, n.written, fmt.Sprintf("has no quotes, and YAML makes %s of it", v), "the same in quotes", set(key, meant))
		track = ""
	}
	if _, isSet := r.lookup("track"); isSet && strings.HasSuffix(track, ".1") {
		r.warnings = append(r.warnings, fmt.Sprintf("%s is Mattermost %s. If %[2]s0 is meant, it was written without quotes, and YAML made %[2]s of it. To set it, type: %[3]s",
			full("track"), track, set("track", track+"0")))
	}
}
