package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// recipe is part of every tool's key: raise it when this package changes what a finished tool looks like.
const recipe = "1"

// Tool is a program that is built from a Go module of its own, so that the many dependencies of a server or an
// engine never meet those of Townsquare. The module is a folder of infra/localcloud/tools: its go.mod names the
// packages as tool dependencies and pins every version.
type Tool struct {
	Name   string // name in the cache: "pulumi"
	Module string // folder under tools/; several tools may be built from one, with other stamps
	What   string // for people
	Why    string // for people
	Usual  time.Duration
	// Programs are the files that must come out, the first being the one the tool is about.
	Programs []string
	// Stamps are package variables set by the linker, as the program's own release process does.
	Stamps map[string]string
	// Overlay adds files to a module that the program is built from, or replaces them: paths in it, and texts.
	Overlay  map[string]string
	Overlaid string // that module
	// Finish, if set, adds to dir what a release needs besides its programs, which are in dir/bin. module is the
	// folder of the tool's module.
	Finish func(ctx context.Context, g GoCommand, module, dir string) error
}

// Get returns the path of t's first program, after building it if the cache does not have it.
func (t Tool) Get(ctx context.Context, c *Cache) (string, error) {
	e, err := t.Entry(ctx)
	if err != nil {
		return "", err
	}
	dir, err := c.Get(ctx, e)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "bin", t.Programs[0]), nil
}

// Prepare downloads the modules that t is built from, as far as it can.
func (t Tool) Prepare(ctx context.Context, c *Cache) {
	tools, err := ToolsDir()
	if err != nil {
		return
	}
	g, err := FindGo(ctx)
	if err != nil {
		return
	}
	// Listing the packages of a module downloads exactly the modules that have them.
	_, _ = g.Output(ctx, filepath.Join(tools, t.Module), "list", "-deps", "tool")
}

// Path returns the path of t's first program if the cache has it, and an error that says what to type if not. For
// processes that must not start a build, such as those inside the cloud's network.
func (t Tool) Path(ctx context.Context, c *Cache) (string, error) {
	e, err := t.Entry(ctx)
	if err != nil {
		return "", err
	}
	if !c.Has(e) {
		return "", fmt.Errorf("%s is not built: type localcloud build %s", t.What, t.Name)
	}
	return filepath.Join(c.Path(e), "bin", t.Programs[0]), nil
}

// Entry is t as an entry of the cache. Its key covers go.mod, go.sum, the stamps, the version of Go, the processor
// and this package's own recipe.
func (t Tool) Entry(ctx context.Context) (Entry, error) {
	tools, err := ToolsDir()
	if err != nil {
		return Entry{}, err
	}
	module := filepath.Join(tools, t.Module)
	g, err := FindGo(ctx)
	if err != nil {
		return Entry{}, err
	}
	parts := []string{recipe, g.Version, runtime.GOARCH, t.linkerFlags()}
	for _, name := range slices.Sorted(maps.Keys(t.Overlay)) {
		parts = append(parts, name, t.Overlay[name])
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return Entry{}, fmt.Errorf("read the module of %s: %w", t.Name, err)
		}
		parts = append(parts, string(text))
	}
	return Entry{
		Kind: "tools", Name: t.Name, Key: Key(parts...), What: t.What, Why: t.Why, Usual: t.Usual, Heavy: true,
		Make: func(ctx context.Context, dir string, step *Step) (string, error) {
			return t.build(ctx, g, module, dir, step)
		},
	}, nil
}

func (t Tool) build(ctx context.Context, g GoCommand, module, dir string, step *Step) (string, error) {
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return "", err
	}
	flags := []string{"-ldflags", t.linkerFlags()}
	if len(t.Overlay) > 0 {
		modfile, remove, err := t.patch(ctx, g, module)
		if err != nil {
			return "", err
		}
		defer remove()
		flags = append(flags, "-modfile", modfile)
	}
	if err := g.Build(ctx, module, bin, flags, step); err != nil {
		return "", err
	}
	var size int64
	for _, name := range t.Programs {
		info, err := os.Stat(filepath.Join(bin, name))
		if err != nil {
			return "", fmt.Errorf("module %s did not give %s: %w", t.Module, name, err)
		}
		size += info.Size()
	}
	if t.Finish != nil {
		step.Status("collecting what belongs to it")
		if err := t.Finish(ctx, g, module, dir); err != nil {
			return "", err
		}
	}
	return Size(size), nil
}

// patch copies the module that Overlay is for, with Overlay's files in it, and writes a go.mod that uses the copy:
// the go command replaces no single file of its module cache. remove removes both.
func (t Tool) patch(ctx context.Context, g GoCommand, module string) (modfile string, remove func(), err error) {
	source, err := g.Output(ctx, module, "list", "-m", "-f", "{{.Dir}}", t.Overlaid)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "townsquare-patch-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if err := t.copyPatched(source, module, dir); err != nil {
		remove()
		return "", nil, fmt.Errorf("patch %s: %w", t.Overlaid, err)
	}
	return filepath.Join(dir, "go.mod"), remove, nil
}

func (t Tool) copyPatched(source, module, dir string) error {
	copied := filepath.Join(dir, "module")
	if err := os.CopyFS(copied, os.DirFS(source)); err != nil {
		return err
	}
	for name, text := range t.Overlay {
		if err := os.WriteFile(filepath.Join(copied, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return err
		}
		if name == "go.mod" {
			text = fmt.Appendf(text, "\nreplace %s => %s\n", t.Overlaid, copied)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// linkerFlags gives the stamps in a fixed order. Symbol tables and debug data are left out: nothing here reads them,
// and they are a third of the size of a Mattermost server.
func (t Tool) linkerFlags() string {
	flags := []string{"-s", "-w"}
	for variable, value := range t.Stamps {
		flags = append(flags, fmt.Sprintf("-X '%s=%s'", variable, value))
	}
	slices.Sort(flags[2:])
	return strings.Join(flags, " ")
}

// toolsFolder is where the modules are, below the top of the tree.
const toolsFolder = "infra/localcloud/tools"

// ToolsDir finds infra/localcloud/tools: below $TOWNSQUARE_SOURCE, or below the working directory or one above it,
// or below the folder of this program or one above it.
func ToolsDir() (string, error) {
	var starts []string
	if dir := os.Getenv("TOWNSQUARE_SOURCE"); dir != "" {
		starts = append(starts, dir)
	}
	wd, err := os.Getwd()
	if err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			tools := filepath.Join(dir, toolsFolder)
			if info, err := os.Stat(tools); err == nil && info.IsDir() {
				return tools, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("no " + toolsFolder + " at or above " + cmp.Or(wd, "the working directory") +
		": run this inside the checkout, or set TOWNSQUARE_SOURCE to it")
}
