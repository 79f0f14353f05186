package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
)

func machineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "machine",
		Short: "Look at machines and switch them, for tests and the curious",
	}
	cmd.AddCommand(
		machineListCommand(), machineCreateCommand(), machineSnapshotCommand(), machineExecCommand(), machineShellCommand(),
		machineAction("start", "Switch a machine on", (*machine.Machine).Start),
		machineAction("wait", "Wait until a machine has booted and cloud-init has finished", (*machine.Machine).WaitReady),
		machineAction("reboot", "Restart a machine in order", (*machine.Machine).Reboot),
		machineAction("poweroff", "Shut a machine down in order", (*machine.Machine).PowerOff),
		machineAction("kill", "Pull a machine's plug: what was not synced is lost", (*machine.Machine).Kill),
		machineAction("rm", "Remove a machine and its disk; volumes stay", (*machine.Machine).Remove),
	)
	return cmd
}

// open finds a machine of a cloud.
func (f *cloudFlag) machine(name string) (*machine.Machine, error) {
	c, err := f.open()
	if err != nil {
		return nil, err
	}
	return machine.Open(c, name)
}

func machineAction(name, short string, act func(*machine.Machine, context.Context) error) *cobra.Command {
	var cloud cloudFlag
	cmd := &cobra.Command{
		Use: name + " MACHINE", Short: short, Args: cobra.ExactArgs(1),
		Example: "  localcloud machine " + name + " --cloud demo chat",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := cloud.machine(args[0])
			if name == "rm" && errors.Is(err, machine.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			return act(m, cmd.Context())
		},
	}
	cloud.add(cmd)
	return cmd
}

func machineCreateCommand() *cobra.Command {
	var cloud cloudFlag
	var userData, from string
	cmd := &cobra.Command{
		Use: "create MACHINE", Short: "Make a machine without Pulumi; it is off", Args: cobra.ExactArgs(1),
		Example: "  localcloud machine create --cloud demo --user-data cloud-init.yaml extra",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			if from != "" {
				if from, err = filepath.Abs(from); err != nil {
					return err
				}
			}
			spec := machine.Spec{Name: args[0], From: from}
			if userData != "" {
				data, err := os.ReadFile(userData)
				if err != nil {
					return err
				}
				spec.UserData = string(data)
			}
			m, err := machine.Create(cmd.Context(), c, spec)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), m.Spec.Address)
			return nil
		},
	}
	cloud.add(cmd)
	cmd.Flags().StringVar(&userData, "user-data", "", "file with cloud-init user data")
	cmd.Flags().StringVar(&from, "from", "", "directory with a snapshot")
	return cmd
}

func machineSnapshotCommand() *cobra.Command {
	var cloud cloudFlag
	cmd := &cobra.Command{
		Use: "snapshot MACHINE DIRECTORY", Short: "Copy the disk and volumes of a machine that is off", Args: cobra.ExactArgs(2),
		Example: "  localcloud machine snapshot --cloud demo chat /var/tmp/chat\n  localcloud machine create --cloud demo --from /var/tmp/chat copy",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := cloud.machine(args[0])
			if err != nil {
				return err
			}
			dir, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			return m.Snapshot(cmd.Context(), dir)
		},
	}
	cloud.add(cmd)
	return cmd
}

func machineExecCommand() *cobra.Command {
	var cloud cloudFlag
	cmd := &cobra.Command{
		Use: "exec MACHINE -- CMD [ARG…]", Short: "Run a program as root inside a machine", Args: cobra.MinimumNArgs(2),
		Example: "  localcloud machine exec --cloud demo chat -- systemctl status mattermost",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := cloud.machine(args[0])
			if err != nil {
				return err
			}
			return runInside(cmd.Context(), m, args[1:])
		},
	}
	cloud.add(cmd)
	cmd.Flags().SetInterspersed(true)
	return cmd
}

func machineShellCommand() *cobra.Command {
	var cloud cloudFlag
	cmd := &cobra.Command{
		Use: "shell MACHINE", Short: "Open a shell as root inside a machine", Args: cobra.ExactArgs(1),
		Example: "  localcloud machine shell --cloud demo chat",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := cloud.machine(args[0])
			if err != nil {
				return err
			}
			return runInside(cmd.Context(), m, []string{"/bin/bash", "-l"})
		},
	}
	cloud.add(cmd)
	return cmd
}

func runInside(ctx context.Context, m *machine.Machine, argv []string) error {
	program, err := m.Command(ctx, argv...)
	if err != nil {
		return err
	}
	program.Stdin, program.Stdout, program.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = program.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitCode(max(exit.ExitCode(), 1))
	}
	return err
}

type machineStatus struct {
	Name     string   `json:"name"`
	Running  bool     `json:"running"`
	Address  string   `json:"address"`
	Address6 string   `json:"address6"`
	Volumes  []string `json:"volumes"`
}

func listMachines(cloud *network.Cloud) ([]machineStatus, error) {
	all, err := machine.List(cloud)
	if err != nil {
		return nil, err
	}
	list := []machineStatus{}
	for _, m := range all {
		status := machineStatus{
			Name: m.Spec.Name, Running: m.Running(),
			Address: m.Spec.Address.String(), Address6: m.Spec.Address6.String(), Volumes: []string{},
		}
		for _, v := range m.Spec.Volumes {
			status.Volumes = append(status.Volumes, v.Name)
		}
		list = append(list, status)
	}
	return list, nil
}

func printMachines(out io.Writer, machines []machineStatus) {
	for _, m := range machines {
		word := map[bool]string{true: "on", false: "off"}[m.Running]
		fmt.Fprintf(out, "  machine  %-20s %-4s %-15s %-12s %s\n", m.Name, word, m.Address, m.Address6, strings.Join(m.Volumes, " "))
	}
}

func machineListCommand() *cobra.Command {
	var cloud cloudFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the machines", Args: cobra.NoArgs,
		Example: "  localcloud machine list --cloud demo --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			machines, err := listMachines(c)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(machines)
			}
			printMachines(cmd.OutOrStdout(), machines)
			return nil
		},
	}
	cloud.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "for machines")
	return cmd
}
