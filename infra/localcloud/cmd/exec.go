package cmd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/network"
)

func execCommand() *cobra.Command {
	var cloud cloudFlag
	cmd := &cobra.Command{
		Use:   "exec -- CMD [ARG…]",
		Short: "Run a program inside the cloud's network",
		Long: `Run a program inside the cloud's network: it asks the cloud's DNS, trusts the
cloud's authorities, and can reach nothing else. It takes the place of localcloud,
so its input, output, signals and exit code are its own.`,
		Example: "  localcloud exec --cloud demo -- curl https://chat.townsquare.test/",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			return runExec(cmd.Context(), c, args)
		},
	}
	cloud.add(cmd)
	// Flags after the program's name are the program's.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func runExec(ctx context.Context, cloud *network.Cloud, args []string) error {
	if !cloud.Up() {
		return fmt.Errorf("%w (run: localcloud up --cloud %s)", network.ErrNotUp, cloud.Name)
	}
	environment := environment(ctx, cloud)
	for _, entry := range environment {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			os.Setenv("PATH", path)
		}
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	target, err := os.Open(cloud.NamespacePath())
	if err != nil {
		return err
	}
	// A mount namespace of its own, so that another resolv.conf can lie over
	// this computer's.
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	resolver := filepath.Join("/etc/netns", cloud.Namespace(), "resolv.conf")
	if err := unix.Mount(resolver, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("use the cloud's DNS: %w", err)
	}
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network of cloud %s: %w", cloud.Name, err)
	}
	target.Close()
	return fmt.Errorf("run %s: %w", args[0], unix.Exec(program, args, environment))
}
