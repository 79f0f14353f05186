package state

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
)

var (
	trackShape       = regexp.MustCompile(`^(esr|latest|[0-9]+\.[0-9]+)$`)
	versionShape     = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	fingerprintShape = regexp.MustCompile(`^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$`)
)

// LoadConfig reads an upgrade.yaml. A file that is not there is an empty one. Everything wrong with
// it comes back at once, as a problem.List.
func LoadConfig(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(path, data)
}

// ParseConfig reads an upgrade.yaml from data, which problems call name.
func ParseConfig(name string, data []byte) (Config, error) {
	var c Config
	if strings.TrimSpace(string(data)) == "" {
		return c, nil
	}
	var nodes map[string]ast.Node
	if err := calmly(func() error { return yaml.Unmarshal(data, &nodes) }); err != nil {
		return c, problem.List{{Where: name, Found: firstLine(err), Allowed: "YAML: one `key: value` a line",
			Hint: "see the keys and their meaning: upgrade apply --help"}}
	}
	c.Elsewhere, c.Ignored = generated(name, nodes)
	var found problem.List
	read(name+": ", nodes, reflect.ValueOf(&c).Elem(), &found)
	if len(found) == 0 {
		found = c.Check(name)
	}
	return c, found.Err()
}

// generated takes the key that only programs write out of nodes. What is wrong there must not keep the
// host from its timers or its recovery: it costs itself and a line in ignored.
func generated(name string, nodes map[string]ast.Node) (list map[string]string, ignored []string) {
	const key = "failed_elsewhere"
	node := nodes[key]
	if delete(nodes, key); node == nil {
		return nil, nil
	}
	drop := func(what string) {
		ignored = append(ignored, fmt.Sprintf("%s: %s: entry ignored: %.80q is not a version with its reason", name, key, what))
	}
	var entries map[string]ast.Node
	if calmly(func() error { return yaml.NodeToValue(node, &entries) }) != nil {
		drop(node.String())
		return nil, ignored
	}
	list = map[string]string{}
	for _, version := range sorted(entries) {
		reason, ok := entries[version].(ast.ScalarNode)
		if !ok || !versionShape.MatchString(version) {
			drop(version)
			continue
		}
		list[version] = reason.GetToken().Value
	}
	return list, ignored
}

// read fills the struct from the nodes, key by key, so that one bad value does not hide the next.
func read(where string, nodes map[string]ast.Node, into reflect.Value, found *problem.List) {
	fields := map[string]reflect.Value{}
	for i := range into.NumField() {
		if key, _, _ := strings.Cut(into.Type().Field(i).Tag.Get("yaml"), ","); key != "-" {
			fields[key] = into.Field(i)
		}
	}
	for _, key := range sorted(nodes) {
		node, field := nodes[key], fields[key]
		if !field.IsValid() {
			*found = append(*found, unknown(where, key, sorted(fields)))
			continue
		}
		if node == nil { // "key:" with nothing after it
			continue
		}
		if err := set(node, field, where+key+".", found); err != nil {
			*found = append(*found, problem.Problem{Where: where + key, Found: oneLine(node.String()), Allowed: kindOf(field)})
		}
	}
}

func set(node ast.Node, field reflect.Value, where string, found *problem.List) error {
	switch field.Kind() {
	case reflect.String: // taken as written: 11.10 as a number would be 11.1
		scalar, ok := node.(ast.ScalarNode)
		if !ok {
			return errors.New("no text")
		}
		field.SetString(scalar.GetToken().Value)
		return nil
	case reflect.Pointer: // set or not set
		value := reflect.New(field.Type().Elem())
		if err := set(node, value.Elem(), where, found); err != nil {
			return err
		}
		field.Set(value)
		return nil
	case reflect.Struct:
		var inner map[string]ast.Node
		if err := calmly(func() error { return yaml.NodeToValue(node, &inner) }); err != nil {
			return err
		}
		read(where, inner, field, found)
		return nil
	default:
		return calmly(func() error { return yaml.NodeToValue(node, field.Addr().Interface()) })
	}
}

// calmly makes an error of a panic: the library has some for what is almost YAML.
func calmly(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("no YAML: %v", p)
		}
	}()
	return read()
}

func unknown(where, key string, known []string) problem.Problem {
	p := problem.Problem{Where: where + key, Found: "unknown key", Allowed: strings.Join(known, ", ")}
	if near := Nearest(key, known); near != "" {
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

// Check looks at the values and returns everything that is wrong with them.
func (c Config) Check(name string) problem.List {
	var found problem.List
	add := func(key, value, allowed string) {
		found = append(found, problem.Problem{Where: name + ": " + key, Found: fmt.Sprintf("%q", value), Allowed: allowed})
	}
	if c.Edition != "" && c.Edition != "team" && c.Edition != "enterprise" {
		add("edition", c.Edition, "team, enterprise")
	}
	if c.Track != "" && !trackShape.MatchString(c.Track) {
		add("track", c.Track, "esr, latest, or a minor version such as 11.7")
	}
	if _, err := schedule.ParseWindow(c.Window); err != nil {
		add("window", c.Window, schedule.Allowed)
	}
	for _, text := range c.Freeze {
		if _, err := schedule.ParsePeriod(text); err != nil {
			add("freeze", text, schedule.AllowedPeriod)
		}
	}
	if c.SecurityWithin != 0 && (c.SecurityWithin < time.Hour || c.SecurityWithin > 90*24*time.Hour) {
		add("security_within", printable.Duration(c.SecurityWithin), "1h to 2160h, such as 72h")
	}
	if c.Automatic != "" && !slices.Contains([]string{"patch", "minor", "any"}, c.Automatic) {
		add("automatic", c.Automatic, "patch, minor, any")
	}
	if c.Watch != 0 && (c.Watch < time.Second || c.Watch > time.Hour) {
		add("watch", printable.Duration(c.Watch), "1s to 1h, such as 60s")
	}
	if c.Patience != 0 && (c.Patience < 30*time.Second || c.Patience > 24*time.Hour) {
		add("patience", printable.Duration(c.Patience), "30s to 24h, such as 10m")
	}
	if m := c.Migrations; m != "" && m != MigrateAuto && m != MigrateOffline {
		add("migrations", m, MigrateAuto+", "+MigrateOffline)
	}
	for _, v := range sorted(c.Skip) {
		if !versionShape.MatchString(v) {
			add("skip", v, "full versions such as 9.10.1, each with a reason")
		}
	}
	if c.URL != "" && !isHTTPS(c.URL) {
		add("url", c.URL, "an address such as https://chat.example.org")
	}
	r := c.Releases
	for _, u := range [][2]string{{"archive", r.Archive}, {"policy", r.Policy}, {"github", r.GitHub}, {"key", r.Key}} {
		if u[1] != "" && !isHTTPS(u[1]) {
			add("releases."+u[0], u[1], "an address that begins with https://")
		}
	}
	if f := r.Fingerprint; f != "" && !fingerprintShape.MatchString(f) {
		add("releases.fingerprint", f, "40 or 64 hexadecimal digits, without spaces")
	}
	return append(found, c.Backup.check(name)...)
}

// Nearest returns the known word that word was probably meant to be, or "".
func Nearest(word string, known []string) string {
	best, at := "", 1+len(word)/3
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= at {
			best, at = k, d-1
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}

func kindOf(v reflect.Value) string {
	switch v.Interface().(type) {
	case time.Duration:
		return "a duration such as 60s"
	case map[string]string:
		return "versions, each with its reason"
	case []string:
		return "a list"
	case *bool:
		return "true, false"
	case Sources:
		return "archive, policy, github, key, fingerprint"
	case Backups:
		return "repository, host_key, keep, stale_after"
	case Keep:
		return "last, daily, weekly, monthly"
	}
	return "text"
}

func firstLine(err error) string { return oneLine(err.Error()) }

func oneLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
