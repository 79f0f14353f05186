package build

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// Target is one thing that `localcloud build` can be asked for by name.
type Target struct {
	Name    string
	About   string
	Default bool // made by a plain `localcloud build`: what `make demo` needs
	// Prepare, if set, downloads what Get will need. It runs while earlier targets are compiled; whatever goes wrong
	// in it, Get meets again.
	Prepare func(ctx context.Context, c *Cache)
	// Get makes it if the cache does not have it, and returns where it is. Has is where it would be, and whether
	// it is there.
	Get func(ctx context.Context, c *Cache) (path string, err error)
	Has func(ctx context.Context, c *Cache) (path string, ok bool, err error)
}

// ToolTarget makes a target of a tool.
func ToolTarget(t Tool) Target {
	return Target{
		Name: t.Name, About: t.What + ": " + t.Why, Default: true,
		Get: t.Get, Prepare: t.Prepare,
		Has: func(ctx context.Context, c *Cache) (string, bool, error) {
			e, err := t.Entry(ctx)
			return c.Path(e), err == nil && c.Has(e), err
		},
	}
}

type commandOptions struct {
	all, list bool
}

// Command is `localcloud build`. It always knows Pulumi, Pebble and Versitygw; more are the targets of other packages.
func Command(more ...Target) *cobra.Command {
	targets := append([]Target{ToolTarget(Pulumi()), ToolTarget(Pebble()), ToolTarget(Versitygw())}, more...)
	var names []string
	for _, t := range targets {
		names = append(names, t.Name)
	}
	var opts commandOptions
	cmd := &cobra.Command{
		Use:   "build [name…]",
		Short: "Build what the local cloud needs and keep it",
		Long: `Build what the local cloud needs and keep it in $TOWNSQUARE_CACHE (` + DefaultDir + `).

Nothing is built twice from the same inputs. Without names, builds what the demo needs.
Names: ` + strings.Join(names, ", ") + `.`,
		Example:   "  localcloud build\n  localcloud build --list\n  localcloud build pulumi",
		ValidArgs: names,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cache := NewCache(NewProgress(cmd.ErrOrStderr()))
			if opts.list {
				return list(cmd.Context(), cmd.OutOrStdout(), cache, targets)
			}
			return run(cmd.Context(), cmd.OutOrStdout(), cache, pick(targets, args, opts.all))
		},
	}
	cmd.Flags().BoolVar(&opts.all, "all", false, "build everything that the tests need too")
	cmd.Flags().BoolVar(&opts.list, "list", false, "only list what there is and whether it is built")
	return cmd
}

func pick(targets []Target, names []string, all bool) []Target {
	return slices.DeleteFunc(slices.Clone(targets), func(t Target) bool {
		if len(names) > 0 {
			return !slices.Contains(names, t.Name)
		}
		return !t.Default && !all
	})
}

// run makes the targets one after another, as each uses all cores by itself; what the later ones need from the
// network is fetched meanwhile.
func run(ctx context.Context, out io.Writer, c *Cache, targets []Target) error {
	fetch, stop := context.WithCancel(ctx)
	var fetcher sync.WaitGroup
	defer fetcher.Wait()
	defer stop()
	fetcher.Go(func() { prepare(fetch, c, targets) })
	for i, t := range targets {
		path, ok, err := t.Has(ctx, c)
		if err != nil {
			return err
		}
		if !ok {
			if len(targets) > 1 {
				c.Progress.Say("%d of %d: %s", i+1, len(targets), t.Name)
			}
			if path, err = t.Get(ctx, c); err != nil {
				return err
			}
		}
		fmt.Fprintf(out, "%s\t%s\n", t.Name, path)
	}
	return nil
}

// prepare leaves out the first target that is not there, whose own build has begun.
func prepare(ctx context.Context, c *Cache, targets []Target) {
	first := true
	for _, t := range targets {
		if _, ok, err := t.Has(ctx, c); ok || err != nil || ctx.Err() != nil {
			continue
		}
		if !first && t.Prepare != nil {
			t.Prepare(ctx, c)
		}
		first = false
	}
}

func list(ctx context.Context, out io.Writer, c *Cache, targets []Target) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, t := range targets {
		_, ok, err := t.Has(ctx, c)
		if err != nil {
			return err
		}
		state := "not built"
		if ok {
			state = "built"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", t.Name, state, t.About)
	}
	return w.Flush()
}
