// Package cmd is the command line of the local cloud.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"townsquare/infra/localcloud/base"
	"townsquare/infra/localcloud/network"
)

// exitCode is an error that only carries the exit code of a program that was
// run for the caller and has said itself what was wrong.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main runs the command line and returns the exit code: 0 done, 1 error, else
// that of the program that was run.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(os.Stderr, "localcloud: %v\n", err)
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "localcloud",
		Short: "a cloud on this computer: machines, network, DNS, certificates, releases, object storage",
		Long: `A cloud on this computer, for demonstrations, tests and rehearsals.

Machines are Debian with their own systemd, in a network namespace of their own
that has no way out. ` + "`localcloud down`" + ` removes every trace.`,
		Example: `  localcloud build
  localcloud up --cloud demo
  localcloud exec --cloud demo -- curl https://releases.townsquare.test/
  localcloud down --cloud demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
		// A guess may name a command that removes a server and its data: "list" is near "lose".
		DisableSuggestions: true,
	}
	root.AddCommand(
		upCommand(), downCommand(), statusCommand(), execCommand(), machineCommand(),
		spacesCommand(), packagesCommand(), daemonCommand(), superviseCommand(),
	)
	root.AddCommand(fromOthers()...)
	return root
}

// cloudFlag is the flag that names the cloud.
type cloudFlag struct{ name string }

func (f *cloudFlag) add(cmd *cobra.Command) {
	name := os.Getenv(network.Variable)
	if name == "" {
		name = "demo"
	}
	cmd.Flags().StringVar(&f.name, "cloud", name, "name of the local cloud ($TOWNSQUARE_CLOUD)")
}

func (f *cloudFlag) open() (*network.Cloud, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a local cloud needs root: it boots machines (try: sudo -E)")
	}
	return network.Open(f.name)
}

// packagesCommand lists what apt must install, for scripts.
func packagesCommand() *cobra.Command {
	var missing bool
	cmd := &cobra.Command{
		Use:   "packages",
		Short: "List the Debian packages that this computer needs",
		Example: `  localcloud packages
  apt-get install $(localcloud packages --missing | cut -f1)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := base.HostPackages()
			if missing {
				list = base.Missing()
			}
			for _, p := range list {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\n", p.Name, p.Why)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&missing, "missing", false, "only those that are not there")
	return cmd
}
