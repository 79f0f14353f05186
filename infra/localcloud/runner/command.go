package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/network"
)

// flags are what all commands of `localcloud pulumi` take.
type flags struct {
	cloud, stack, source string
	json                 bool
	set                  []string
}

// Command is `localcloud pulumi`, which runs program.
func Command(program pulumi.RunFunc) *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "pulumi",
		Short: "Run the project's own Pulumi program against a local cloud",
		Long: `Run the project's own Pulumi program against a local cloud, with the real engine.

Pulumi is taken from PATH where it is new enough, else built from its Go module
and kept. State, secrets and keys live in the cloud's directory.

Exit codes: 0 done, 1 error.`,
	}
	name := os.Getenv("TOWNSQUARE_CLOUD")
	if name == "" {
		name = "demo"
	}
	root.PersistentFlags().StringVar(&f.cloud, "cloud", name, "name of the local cloud ($TOWNSQUARE_CLOUD)")
	root.PersistentFlags().StringVar(&f.stack, "stack", "dev", "the stack: Pulumi.STACK.yaml is its configuration")
	root.PersistentFlags().StringVar(&f.source, "project", "", "folder of Pulumi.yaml (default: here or above)")
	root.PersistentFlags().BoolVar(&f.json, "json", false, "print the result as JSON; what the engine says goes to standard error")
	root.PersistentFlags().StringArrayVar(&f.set, "set", nil, "configuration on top of the stack's file, as key=value")

	var unprotect, show, fresh, unchanged bool
	var adopt string
	up := f.command(program, "up", "Make the cloud what the program says", "localcloud pulumi up --cloud demo --stack dev",
		func(ctx context.Context, s *Stack) (any, error) {
			if fresh {
				return counted(s.Up(ctx, optup.Refresh()))
			}
			return counted(s.Up(ctx))
		})
	up.Flags().BoolVar(&fresh, "refresh", false, "ask the cloud first how its resources are now")
	refresh := f.command(program, "refresh", "See what is still there of what up has made", "localcloud pulumi refresh --cloud demo",
		func(ctx context.Context, s *Stack) (any, error) { return counted(s.Refresh(ctx)) })
	preview := f.command(program, "preview", "Say what up would do", "localcloud pulumi preview --cloud demo",
		func(ctx context.Context, s *Stack) (any, error) {
			var more []optpreview.Option
			if fresh {
				more = append(more, optpreview.Refresh())
			}
			if unchanged {
				more = append(more, optpreview.ExpectNoChanges())
			}
			if adopt != "" {
				more = append(more, optpreview.ImportFile(adopt))
			}
			return counted(s.Preview(ctx, more...))
		})
	// The flags of Pulumi's own command that scripts/ci/drift.sh and docs/disaster-recovery.md give.
	preview.Flags().BoolVar(&fresh, "refresh", false, "ask the cloud first how its resources are now")
	preview.Flags().BoolVar(&unchanged, "expect-no-changes", false, "end with an error if anything would change")
	preview.Flags().StringVar(&adopt, "import-file", "", "write what up would make to this file, for pulumi import")
	preview.Flags().Bool("non-interactive", true, "never ask; it never does")
	destroy := f.command(program, "destroy", "Remove all that the stack has", "localcloud pulumi destroy --cloud demo --unprotect",
		func(ctx context.Context, s *Stack) (any, error) { return counted(s.Destroy(ctx, unprotect)) })
	destroy.Flags().BoolVar(&unprotect, "unprotect", false, "also what the program protects: volumes, databases, addresses")
	outputs := f.command(program, "outputs", "Show the stack's outputs", "localcloud pulumi outputs --cloud demo --json --show-secrets",
		func(ctx context.Context, s *Stack) (any, error) { return s.Outputs(ctx, show) })
	outputs.Flags().BoolVar(&show, "show-secrets", false, "show secret outputs, too")
	root.AddCommand(up, refresh, preview, destroy, outputs)
	return root
}

func (f *flags) command(program pulumi.RunFunc, use, short, example string, run func(context.Context, *Stack) (any, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: "  " + example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			options, err := f.options(cmd, program)
			if err != nil {
				return err
			}
			stack, err := Open(cmd.Context(), options)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, stack.Close()) }()
			result, err := run(cmd.Context(), stack)
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), result)
		},
	}
}

func (f *flags) options(cmd *cobra.Command, program pulumi.RunFunc) (Options, error) {
	if os.Geteuid() != 0 {
		return Options{}, errors.New("a local cloud needs root: it boots machines (try: sudo -E)")
	}
	// It would win over the file with the cloud's own passphrase.
	if err := os.Unsetenv("PULUMI_CONFIG_PASSPHRASE"); err != nil {
		return Options{}, err
	}
	cloud, err := network.Open(f.cloud)
	if err != nil {
		return Options{}, err
	}
	source := f.source
	if source == "" {
		if source, err = findSource(); err != nil {
			return Options{}, err
		}
	}
	plugin, err := os.Executable()
	if err != nil {
		return Options{}, err
	}
	options := Options{
		Cloud: cloud, Stack: f.stack, Source: source, Program: program, Plugin: plugin, Set: map[string]any{},
		Cache: build.NewCache(build.NewProgress(os.Stderr)), Color: "never", Output: cmd.OutOrStdout(),
	}
	if f.json {
		options.Output = cmd.ErrOrStderr()
	}
	if file, ok := options.Output.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" {
		options.Color = "always"
	}
	for _, setting := range f.set {
		key, value, ok := strings.Cut(setting, "=")
		if !ok {
			return Options{}, fmt.Errorf("--set %q: want key=value, such as townsquare:database=managed", setting)
		}
		options.Set[key] = value
	}
	return options, nil
}

// findSource is the folder of the project's description: $TOWNSQUARE_SOURCE, the working directory,
// or one above it.
func findSource() (string, error) {
	dir := os.Getenv("TOWNSQUARE_SOURCE")
	if dir == "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return "", err
		}
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "Pulumi.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no Pulumi.yaml at or above %s: run this inside the checkout, or name it by --project", start)
		}
	}
}

// counted wraps an operation's result for printing.
func counted(changes Changes, err error) (any, error) {
	return map[string]Changes{"changes": changes}, err
}

// print writes a result to a person, who has read the engine's own words already, or to a program.
func (f *flags) print(w io.Writer, result any) error {
	if f.json {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	outputs, ok := result.(map[string]any)
	if !ok {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		text, ok := outputs[name].(string)
		if !ok {
			data, err := json.Marshal(outputs[name])
			if err != nil {
				return err
			}
			text = string(data)
		}
		fmt.Fprintf(w, "%-18s %s\n", name, text)
	}
	return nil
}
