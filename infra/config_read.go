package infra

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// source is where values come from: the engine, or a test's map.
type source struct {
	get    func(key string) (string, bool) // with the namespace: "townsquare:size"
	secret func(key string) bool
	keys   []string // every key that is set, as far as known
	env    func(name string) string
}

// reader takes one key after the other and collects what is wrong.
type reader struct {
	source
	problems Problems
	warnings []string
}

// check judges a value: ok, or what is wrong with it and what is allowed.
type check func(value string) (wrong, allowed string)

func full(key string) string { return namespace + ":" + key }

func (r *reader) add(key, value, wrong, allowed, command string) {
	r.problems = append(r.problems, Problem{Key: full(key), Value: value, Wrong: wrong, Allowed: allowed, Type: command})
}

func set(key, value string) string {
	if strings.ContainsAny(value, " $") {
		value = `"` + value + `"`
	}
	return "pulumi config set " + full(key) + " " + value
}

func setFirst(key, value string) string {
	return fmt.Sprintf("pulumi config set --path '%s[0]' %q", full(key), value)
}

// lookup is the value without blanks around it; an empty one counts as not set.
func (r *reader) lookup(key string) (string, bool) {
	v, ok := r.get(full(key))
	v = strings.TrimSpace(v)
	return v, ok && v != ""
}

func (r *reader) text(key, fallback string, judge check) string {
	v, ok := r.lookup(key)
	if !ok {
		return fallback
	}
	if wrong, allowed := judge(v); wrong != "" {
		command := "pulumi config rm " + full(key)
		if fallback != "" {
			command = set(key, fallback)
		}
		r.add(key, v, wrong, allowed, command)
	}
	return v
}

func (r *reader) required(key, example string, judge check) string {
	v, ok := r.lookup(key)
	if !ok {
		_, allowed := judge("")
		r.add(key, "", "is not set", allowed, set(key, example))
		return ""
	}
	if wrong, allowed := judge(v); wrong != "" {
		r.add(key, v, wrong, allowed, set(key, example))
	}
	return v
}

func (r *reader) choice(key, fallback string, values ...string) string {
	return r.text(key, fallback, among(values))
}

func (r *reader) requiredChoice(key, example string, values ...string) string {
	return r.required(key, example, among(values))
}

func among(values []string) check {
	return func(v string) (string, string) {
		if slices.Contains(values, v) {
			return "", ""
		}
		return "is not known", oneOf(values)
	}
}

func (r *reader) boolean(key string, fallback bool) bool {
	v, ok := r.lookup(key)
	switch {
	case !ok:
		return fallback
	case v == "true":
		return true
	case v == "false":
		return false
	}
	r.add(key, v, "is neither true nor false", "true, false", set(key, strconv.FormatBool(fallback)))
	return fallback
}

func (r *reader) number(key string, fallback, lowest, highest int) int {
	v, ok := r.lookup(key)
	if !ok {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < lowest || n > highest {
		wrong := "is out of range"
		if err != nil {
			wrong = "is not a whole number"
		}
		r.add(key, v, wrong, fmt.Sprintf("%d to %d", lowest, highest), set(key, strconv.Itoa(fallback)))
		return fallback
	}
	return n
}

// items reads a list, which the engine hands over as JSON.
func (r *reader) items(key, example string) ([]string, bool) {
	v, ok := r.lookup(key)
	if !ok {
		return nil, false
	}
	var list []string
	if err := json.Unmarshal([]byte(v), &list); err != nil {
		r.add(key, v, "is not a list", "a list of texts", "pulumi config rm "+full(key)+"; "+setFirst(key, example))
		return nil, true
	}
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list, true
}

// list reads a list with at least one entry, each valid, none twice.
func (r *reader) list(key, example string, judge check) []string {
	list, ok := r.items(key, example)
	if len(list) == 0 {
		if _, allowed := judge(""); !ok || list != nil {
			r.add(key, "", "is not set", "a list of at least one of: "+allowed, setFirst(key, example))
		}
		return nil
	}
	r.each(key, example, list, judge)
	return list
}

// optional reads a list that may be missing or empty.
func (r *reader) optional(key, example string, judge check) []string {
	list, _ := r.items(key, example)
	r.each(key, example, list, judge)
	return list
}

func (r *reader) each(key, example string, list []string, judge check) {
	for i, v := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		wrong, allowed := judge(v)
		if wrong == "" && slices.Contains(list[:i], v) {
			wrong, allowed = "is there twice", "each once"
		}
		if wrong != "" {
			r.add(at, v, wrong, allowed, fmt.Sprintf("pulumi config set --path '%s' %q", full(at), example))
		}
	}
}

// retired are keys of earlier releases that have no effect any more, and why.
var retired = map[string]string{
	"sshKeysInAccount": "operators' keys are not registered with DigitalOcean any more",
}

// unknown refuses keys that nothing reads: a typing error would otherwise be silent.
func (r *reader) unknown() {
	known := Keys()
	for _, key := range r.keys {
		name, ours := strings.CutPrefix(key, namespace+":")
		if why, old := retired[name]; ours && old {
			r.warnings = append(r.warnings, fmt.Sprintf("%s has no effect: %s. To remove it, type: pulumi config rm %[1]s", key, why))
		} else if ours && !slices.Contains(known, name) {
			r.add(name, "", "is not a key of this program", oneOf(known), "pulumi config rm "+key)
		}
	}
}

// Keys lists every key a stack can set, without its namespace, in alphabetical order.
func Keys() []string {
	var keys []string
	for field := range reflect.TypeFor[Config]().Fields() {
		if key := field.Tag.Get("key"); key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
