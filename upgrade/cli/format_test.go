package cli

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestNoGoFormatting reads the source of every package: no duration, list or map is written as Go does ("10m0s",
// "[a b]"), neither by a verb of a format nor by a duration's own String.
func TestNoGoFormatting(t *testing.T) {
	files := token.NewFileSet()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", `{{.ImportPath}}|{{.Export}}|{{.Dir}}|{{join .GoFiles ","}}`, "../...")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	var ours [][]string
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "|")
		exports[fields[0]] = fields[1]
		if strings.HasPrefix(fields[0], "townsquare/upgrade") {
			ours = append(ours, fields)
		}
	}
	config := types.Config{Importer: importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	for _, p := range ours {
		var parsed []*ast.File
		for name := range strings.SplitSeq(p[3], ",") {
			file, err := parser.ParseFile(files, filepath.Join(p[2], name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
		if _, err := config.Check(p[0], files, parsed, info); err != nil {
			t.Fatal(err)
		}
		for _, file := range parsed {
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					for _, what := range goFormatted(info, call) {
						t.Errorf("%s: %s as Go writes it", files.Position(call.Pos()), what)
					}
				}
				return true
			})
		}
	}
	if len(ours) < 15 {
		t.Errorf("only %d packages were read", len(ours))
	}
}

var verbs = regexp.MustCompile(`%%|%[-+ #0]*[0-9]*(\.[0-9]+)?([a-zA-Z])`)

// goFormatted returns the types that a call writes as Go does.
func goFormatted(info *types.Info, call *ast.CallExpr) (found []string) {
	if method, ok := call.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "String" {
		if of := info.Types[method.X].Type; of != nil && of.String() == "time.Duration" {
			found = append(found, "time.Duration")
		}
	}
	for i, arg := range call.Args {
		value := info.Types[arg].Value
		if value == nil || i+1 == len(call.Args) {
			continue
		}
		format, err := strconv.Unquote(value.ExactString())
		if err != nil || !strings.Contains(format, "%") {
			continue
		}
		at := i
		for _, verb := range verbs.FindAllStringSubmatch(format, -1) {
			if verb[2] == "" {
				continue
			}
			if at++; at < len(call.Args) && (verb[2] == "s" || verb[2] == "v") && writtenByGo(info.Types[call.Args[at]].Type) {
				found = append(found, fmt.Sprint(info.Types[call.Args[at]].Type))
			}
		}
		break
	}
	return found
}

// writtenByGo reports whether %s and %v write a type in a form that is for programmers.
func writtenByGo(t types.Type) bool {
	if t == nil || t.String() == "time.Duration" {
		return t != nil
	}
	if m, _, _ := types.LookupFieldOrMethod(t, true, nil, "Error"); m != nil {
		return false
	}
	if m, _, _ := types.LookupFieldOrMethod(t, true, nil, "String"); m != nil {
		return false
	}
	switch u := t.Underlying().(type) {
	case *types.Slice:
		return !bytes.Contains([]byte("byte uint8"), []byte(u.Elem().String()))
	case *types.Map, *types.Struct:
		return true
	}
	return false
}

// A value that a flag does not take is named, and what it takes, in words.
func TestInvalidValues(t *testing.T) {
	h := newFakeHost(t)
	for value, want := range map[string]string{
		"--watch=1": `--watch: "1" (allowed: a duration such as 60s)`, "--yes=maybe": `--yes: "maybe" (allowed: true or false)`,
		"--parallel=x": `--parallel: "x" (allowed: a whole number)`,
	} {
		got := h.upgrade(t.Context(), "apply", value)
		wants(t, got, 2, want)
		if strings.Contains(got.stderr, "strconv") || strings.Contains(got.stderr, "time:") {
			t.Errorf("%s", got.stderr)
		}
	}
}
