package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/base"
	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/services"
)

func progressOutput() io.Writer { return os.Stderr }

func upCommand() *cobra.Command {
	var cloud cloudFlag
	var options services.Options
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the cloud's network and services",
		Long: `Start the cloud's network and services: DNS, ACME, release mirror, object storage,
Debian proxy.

Machines that ran before this computer restarted are not started. Up is no error
when the cloud is up.`,
		Example: "  localcloud up --cloud demo --forward",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			return runUp(cmd.Context(), c, options)
		},
	}
	cloud.add(cmd)
	servesFlags(cmd, &options)
	return cmd
}

// servesFlags are what a person may say of what the cloud serves.
func servesFlags(cmd *cobra.Command, options *services.Options) {
	cmd.Flags().BoolVar(&options.Forward, "forward", false, "let this computer's browser reach the cloud at "+services.ForwardAddress)
	cmd.Flags().StringSliceVar(&options.Relay, "relay", nil, "hosts outside that the machines of a new cloud may read from (GET, HTTPS), and never write to")
}

func runUp(ctx context.Context, cloud *network.Cloud, options services.Options) error {
	if err := base.CheckHost(); err != nil {
		return err
	}
	if cloud.Up() {
		fmt.Fprintf(progressOutput(), "cloud %s is up\n", cloud.Name)
		return nil
	}
	cache := build.NewCache(build.NewProgress(progressOutput()))
	if _, err := base.Build(ctx, cache); err != nil {
		return err
	}
	pebble, err := build.Pebble().Get(ctx, cache)
	if err != nil {
		return err
	}
	versitygw, err := build.Versitygw().Get(ctx, cache)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cloud.Dir, 0o700); err != nil {
		return err
	}
	// Two who bring it up at once get one daemon.
	lock, err := os.OpenFile(filepath.Join(cloud.Dir, "up.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock cloud %s: %w", cloud.Name, err)
	}
	if cloud.Up() {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(cloud.Dir, "daemon.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// The daemon says when it serves, by closing its end.
	ready, announce, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	daemon := exec.Command("/proc/self/exe", "daemon", "--cloud", cloud.Name,
		"--pebble", pebble, "--versitygw", versitygw,
		fmt.Sprintf("--forward=%v", options.Forward), "--relay="+strings.Join(options.Relay, ","))
	daemon.Dir = "/"
	daemon.Args[0] = "localcloud"
	daemon.Stdout, daemon.Stderr = log, log
	daemon.ExtraFiles = []*os.File{announce}
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := daemon.Start(); err != nil {
		announce.Close()
		return fmt.Errorf("start daemon: %w", err)
	}
	announce.Close()
	answer, _ := io.ReadAll(ready)
	if string(answer) != "ready\n" {
		return fmt.Errorf("start cloud %s: %s", cloud.Name, cmpOr(strings.TrimSpace(string(answer)), "the daemon ended (see "+log.Name()+")"))
	}
	fmt.Fprintf(progressOutput(), "cloud %s is up: network namespace %s, gateway %s\n", cloud.Name, cloud.Namespace(), network.Gateway)
	return daemon.Process.Release()
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// daemonCommand is what up starts. It is not for people.
func daemonCommand() *cobra.Command {
	var cloud cloudFlag
	var options services.Options
	cmd := &cobra.Command{
		Use: "daemon", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parent := os.NewFile(3, "announce")
			defer parent.Close()
			err := runDaemon(cmd.Context(), cloud, options, func() {
				fmt.Fprintln(parent, "ready")
				parent.Close()
			})
			if err != nil {
				fmt.Fprintln(parent, err)
			}
			return err
		},
	}
	cloud.add(cmd)
	cmd.Flags().StringVar(&options.Pebble, "pebble", "", "")
	cmd.Flags().StringVar(&options.Versitygw, "versitygw", "", "")
	servesFlags(cmd, &options)
	return cmd
}

func runDaemon(ctx context.Context, flag cloudFlag, options services.Options, ready func()) error {
	cloud, err := flag.open()
	if err != nil {
		return err
	}
	syscall.CloseOnExec(3)
	if options.Mirror, err = releaseMirror(cloud); err != nil {
		return err
	}
	return services.Run(ctx, cloud, options, ready)
}

// superviseCommand is what the daemon starts for each machine. It is not for
// people: it expects namespaces of its own.
func superviseCommand() *cobra.Command {
	var cloud cloudFlag
	cmd := &cobra.Command{
		Use: "supervise MACHINE", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			return machine.Supervise(c, args[0])
		},
	}
	cloud.add(cmd)
	return cmd
}

func statusCommand() *cobra.Command {
	var cloud cloudFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say what runs",
		Example: "  localcloud status --cloud demo --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			return runStatus(cmd.OutOrStdout(), c, asJSON)
		},
	}
	cloud.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "for machines")
	return cmd
}

type cloudStatus struct {
	Cloud     string          `json:"cloud"`
	Up        bool            `json:"up"`
	Namespace string          `json:"namespace"`
	Gateway   string          `json:"gateway"`
	Trust     string          `json:"trust"` // PEM file of the authorities that clients trust
	Machines  []machineStatus `json:"machines"`
	Network   network.State   `json:"network"`
}

func runStatus(out io.Writer, cloud *network.Cloud, asJSON bool) error {
	state, err := cloud.State()
	if err != nil {
		return err
	}
	machines, err := listMachines(cloud)
	if err != nil {
		return err
	}
	status := cloudStatus{
		Cloud: cloud.Name, Up: cloud.Up(), Namespace: cloud.Namespace(), Gateway: network.Gateway.String(),
		Trust: cloud.Bundle(), Machines: machines, Network: state,
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(status)
	}
	word := map[bool]string{true: "up", false: "down"}[status.Up]
	fmt.Fprintf(out, "cloud %s: %s\n", cloud.Name, word)
	printMachines(out, machines)
	for _, r := range state.Records {
		fmt.Fprintf(out, "  record   %s %s %s\n", r.Name, r.Type, r.Value)
	}
	for address, r := range state.Reserved {
		fmt.Fprintf(out, "  reserved %s %s\n", address, r.Machine)
	}
	return nil
}

func downCommand() *cobra.Command {
	var cloud cloudFlag
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove the cloud: machines, volumes, network, everything",
		Long: `Remove the cloud: machines, volumes, network, everything, also what a crash left.

What was built stays in the cache. Down is no error when there is no such cloud.`,
		Example: "  localcloud down --cloud demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			return runDown(cmd.Context(), c)
		},
	}
	cloud.add(cmd)
	return cmd
}

func runDown(ctx context.Context, cloud *network.Cloud) error {
	failed := machine.Sweep(ctx, cloud)
	failed = errors.Join(failed, stopDaemon(ctx, cloud))
	if failed == nil { // else the state still says what there is to remove
		failed = services.Sweep(ctx, cloud)
	}
	if failed != nil {
		return fmt.Errorf("remove cloud %s: %w", cloud.Name, failed)
	}
	return nil
}

// stopDaemon asks the daemon to end, and ends it if it does not.
func stopDaemon(ctx context.Context, cloud *network.Cloud) error {
	pid := cloud.DaemonProcess()
	if pid == 0 {
		return nil
	}
	_, asked := cloud.Ask(ctx, http.MethodPost, "/stop")
	began := time.Now()
	err := network.Settle(ctx, func() bool {
		if time.Since(began) > 5*time.Second { // what it leaves behind is swept
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return !cloud.Up()
	})
	if err != nil {
		return errors.Join(fmt.Errorf("stop daemon: %w", err), asked)
	}
	return nil
}
