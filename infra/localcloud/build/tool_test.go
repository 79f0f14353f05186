package build

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every tool has a module that names, as tool dependencies, the programs that must come out of it, and that is
// complete: nothing may have to be looked up at the time of the build.
func TestEveryToolHasItsModule(t *testing.T) {
	tools := []Tool{Pulumi(), Pebble(), Versitygw()}
	for _, m := range Mattermosts() {
		tools = append(tools, m.Tool(false), m.Tool(true))
	}
	dir, err := ToolsDir()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, tool := range tools {
		if names[tool.Name] {
			t.Errorf("%s is there twice", tool.Name)
		}
		names[tool.Name] = true
		text, err := os.ReadFile(filepath.Join(dir, tool.Module, "go.mod"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, program := range tool.Programs {
			if !strings.Contains(string(text), "/"+program+"\n") {
				t.Errorf("%s: go.mod does not name %s as a tool", tool.Module, program)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, tool.Module, "go.sum")); err != nil {
			t.Error(err)
		}
	}
}

func TestKeyOfATool(t *testing.T) {
	entry := func(m Mattermost, enterprise bool) Entry {
		e, err := m.Tool(enterprise).Entry(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	nine, _ := FindMattermost("9.10.0")
	if a, b := entry(nine, false), entry(nine, false); a.Key != b.Key {
		t.Error("the same inputs give two keys")
	}
	if a, b := entry(nine, false), entry(nine.As("9.10.1"), false); a.Key == b.Key || a.Name == b.Name {
		t.Error("another number gives the same entry")
	}
	if a, b := entry(nine, false), entry(nine, true); a.Key == b.Key || a.Name == b.Name {
		t.Error("another edition gives the same entry")
	}
}

func TestLinkerFlagsAreInOrder(t *testing.T) {
	nine, ok := FindMattermost("9.10.1")
	if !ok {
		t.Fatal("no 9.10.1")
	}
	flags := nine.Tool(false).linkerFlags()
	const model = "github.com/mattermost/mattermost/server/public/model."
	want := "-s -w -X '" + model + "BuildDate=Mon May 20 15:11:30 UTC 2024' -X '" + model + "BuildEnterpriseReady=false' -X '" +
		model + "BuildHash=4bdd8bb18e47' -X '" + model + "BuildHashEnterprise=none' -X '" + model + "BuildNumber=9.10.1'"
	if flags != want {
		t.Errorf("flags\n%s\nwant\n%s", flags, want)
	}
}

func TestPathOfWhatIsNotBuiltSaysWhatToType(t *testing.T) {
	_, err := Pebble().Path(t.Context(), &Cache{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "type localcloud build pebble") {
		t.Errorf("error %v", err)
	}
}

func TestFollowTellsPackagesFromMessages(t *testing.T) {
	step := NewProgress(io.Discard).Step("x", "", 0)
	defer step.halt()
	other := follow(strings.NewReader("go: downloading a.test/x v1.0.0\ninternal/abi\na.test/x\n"+
		"# a.test/y\nmain.go:3:2: undefined: z\n"), step, 9)
	if !slices.Equal(other, []string{"# a.test/y", "main.go:3:2: undefined: z"}) {
		t.Errorf("other lines %q", other)
	}
	if step.status != "compiled 2 of at most 9 packages, now a.test/x" {
		t.Errorf("status %q", step.status)
	}
}

func TestNetworkTroubleIsNotAMistakeInTheCode(t *testing.T) {
	if !isNetworkTrouble(`go: a.test/x@v1: Get "https://proxy": dial tcp: i/o timeout`) {
		t.Error("a broken download was taken for a mistake")
	}
	if isNetworkTrouble("main.go:3:2: undefined: z") {
		t.Error("a mistake was taken for a broken download")
	}
}

// A program of a module without dependencies goes through the whole of build: go, stamps, and Finish.
func TestBuildATool(t *testing.T) {
	root := t.TempDir()
	module := filepath.Join(root, toolsFolder, "hello")
	if err := os.MkdirAll(filepath.Join(module, "hello"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod": "module hello.test\n\ngo 1.26\n\ntool hello.test/hello\n", "go.sum": "",
		"hello/main.go": "package main\n\nvar word string\n\nfunc main() { println(word) }\n",
	} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TOWNSQUARE_SOURCE", root)
	tool := Tool{Name: "hello", Module: "hello", What: "hello", Programs: []string{"hello"},
		Stamps: map[string]string{"main.word": "two words"},
		Finish: func(ctx context.Context, g GoCommand, module, dir string) error {
			source, err := g.Output(ctx, module, "list", "-m", "-f", "{{.Dir}}")
			if err != nil || source != module {
				t.Errorf("go list -m: %s, %v", source, err)
			}
			return copyShared(source, filepath.Join(dir, "share"))
		},
	}
	path, err := tool.Get(t.Context(), testCache(t))
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(binary), "two words") {
		t.Error("the stamp is not in the program")
	}
	if strings.Contains(string(binary), root) {
		t.Error("a path of this machine is in the program")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(path)), "share", "go.mod")); err != nil {
		t.Error(err)
	}
}

func TestRunFetchesForLaterTargetsMeanwhile(t *testing.T) {
	prepared := make(chan string, 3)
	target := func(name string, there bool) Target {
		return Target{
			Name:    name,
			Prepare: func(context.Context, *Cache) { prepared <- name },
			Has:     func(context.Context, *Cache) (string, bool, error) { return "/" + name, there, nil },
			Get: func(context.Context, *Cache) (string, error) {
				if name == "b" {
					if got := <-prepared; got != "c" { // or the test hangs, and fails, here
						t.Errorf("prepared %s", got)
					}
				}
				return "/" + name, nil
			},
		}
	}
	var out strings.Builder
	if err := run(t.Context(), &out, testCache(t), []Target{target("a", true), target("b", false), target("c", false)}); err != nil {
		t.Fatal(err)
	}
	if want := "a\t/a\nb\t/b\nc\t/c\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	if len(prepared) > 0 {
		t.Errorf("prepared %s too", <-prepared)
	}
}

func TestPickTargets(t *testing.T) {
	targets := []Target{{Name: "a", Default: true}, {Name: "b"}}
	for _, c := range []struct {
		names []string
		all   bool
		want  string
	}{{nil, false, "a"}, {nil, true, "ab"}, {[]string{"b"}, false, "b"}} {
		got := ""
		for _, target := range pick(targets, c.names, c.all) {
			got += target.Name
		}
		if got != c.want {
			t.Errorf("pick(%v, all %v) = %s, want %s", c.names, c.all, got, c.want)
		}
	}
}
