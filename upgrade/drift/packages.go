package drift

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"townsquare/upgrade/host"
	"townsquare/upgrade/system"
)

// comparePackages looks at what dpkg says is installed, and at which archives apt would ask.
func (c *Comparison) comparePackages(ctx context.Context) error {
	asked := slices.Concat(c.look.Packages, c.look.Unwanted)
	if len(asked) == 0 {
		return nil
	}
	args := append([]string{"--show", "--showformat=${Package} ${db:Status-Status}\n", "--"}, asked...)
	out, err := c.host.ask(ctx, "dpkg-query", args...)
	var exit *host.ExitError
	if err != nil && !errors.As(err, &exit) { // it fails when it has never heard of one of them
		return err
	}
	installed := map[string]bool{}
	for line := range strings.Lines(out) {
		if name, status, _ := strings.Cut(strings.TrimSpace(line), " "); status == "installed" {
			installed[name] = true
		}
	}
	if c.look.Suite != "" {
		out, err := c.host.ask(ctx, "apt-get", "indextargets", "--format", "$(RELEASE)", "Created-By: Packages")
		if err != nil {
			return err
		}
		if !slices.Contains(strings.Fields(out), c.look.Suite) {
			c.add(Difference{Kind: KindArchive, Name: "the archive " + c.look.Suite, Found: "is not among apt's sources"})
			c.suite = true
		}
	}
	for _, name := range c.look.Packages {
		if !installed[name] {
			c.add(Difference{Kind: KindPackage, Name: "the package " + name, Found: "is not installed"})
			c.packages = append(c.packages, name)
		}
	}
	for _, name := range c.look.Unwanted {
		if installed[name] {
			c.add(Difference{Kind: KindPackage, Name: "the package " + name, Found: "is installed, and would change the system by itself"})
			c.unwanted = append(c.unwanted, name)
		}
	}
	return nil
}

// Packages brings the archive and the packages that are missing, and takes away those that must not be.
// Installed packages stay, whatever becomes of the run.
func (c *Comparison) Packages(ctx context.Context, l system.Listener) error {
	if c.suite {
		if err := c.firstBoot(ctx, "backports"); err != nil {
			return err
		}
	}
	if len(c.packages) > 0 || c.suite {
		if err := c.host.Update(ctx); err != nil {
			return err
		}
	}
	if err := c.host.Add(ctx, c.packages, l); err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(c.packages, ", "), err)
	}
	if err := c.host.Purge(ctx, c.unwanted, l); err != nil {
		return fmt.Errorf("remove %s: %w", strings.Join(c.unwanted, ", "), err)
	}
	return nil
}

// Installs tells whether Packages has something to do.
func (c *Comparison) Installs() bool { return c.suite || len(c.packages)+len(c.unwanted) > 0 }

const firstBootScript = "/usr/local/lib/townsquare/first-boot"

// firstBoot runs one step of the first-boot script, as the stack has it: that knows how.
func (c *Comparison) firstBoot(ctx context.Context, step string) error {
	script := c.file(firstBootScript)
	if script == nil {
		return fmt.Errorf("the stack has no %s, which knows how", firstBootScript)
	}
	_, err := c.host.Run(ctx, host.Command{Name: "bash", Args: []string{"-s", "--", step}, Stdin: strings.NewReader(script.Content)})
	if err != nil {
		return fmt.Errorf("first boot's step %s: %w", step, err)
	}
	return nil
}
