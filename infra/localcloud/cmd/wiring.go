package cmd

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/spf13/cobra"

	"townsquare/infra"
	"townsquare/infra/localcloud/base"
	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/mirror"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/provider"
	"townsquare/infra/localcloud/provider/local"
	"townsquare/infra/localcloud/runner"
)

// fromOthers are the commands that other packages bring along.
func fromOthers() []*cobra.Command {
	return []*cobra.Command{
		build.Command(append(mirror.Targets(), baseTarget())...),
		mirror.Command(func(name string) (string, error) {
			cloud, err := network.Open(name)
			if err != nil {
				return "", err
			}
			return cloud.Dir, nil
		}),
		runner.Command(infra.New),
		loseCommand(),
	}
}

// loseCommand is an accident in the control panel.
func loseCommand() *cobra.Command {
	var cloud cloudFlag
	var what string
	cmd := &cobra.Command{
		Use: "lose NAME", Args: cobra.ExactArgs(1),
		Short: "Delete a droplet, its volumes, a database or a bucket behind Pulumi's back",
		Long: `Delete something behind Pulumi's back, as an operator may in the control panel: a droplet
with its volumes, a droplet alone, a managed database, or a bucket. docs/disaster-recovery.md
is how to recover from each.`,
		Example: `  localcloud lose --cloud demo townsquare-dev
  localcloud lose --cloud demo --what droplet townsquare-dev
  localcloud lose --cloud demo --what bucket chat-townsquare-test-backups`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			return provider.Lose(cmd.Context(), &provider.Cloud{Name: c.Name, Open: local.Open}, what, args[0])
		},
	}
	cloud.add(cmd)
	cmd.Flags().StringVar(&what, "what", provider.LoseServer,
		"server (droplet and volumes), droplet, database or bucket")
	return cmd
}

// baseTarget is the machines' Debian as a thing to build.
func baseTarget() build.Target {
	return build.Target{
		Name: "base", About: "Debian " + base.Release + ": what every machine starts from", Default: true,
		Get: func(ctx context.Context, cache *build.Cache) (string, error) {
			return base.Build(ctx, cache)
		},
		Has: func(context.Context, *build.Cache) (string, bool, error) {
			rootfs, err := base.Find()
			return rootfs, err == nil, nil
		},
	}
}

// releaseMirror is where the cloud's machines find Mattermost.
func releaseMirror(cloud *network.Cloud) (http.Handler, error) {
	return mirror.New(filepath.Join(cloud.Dir, "mirror"))
}
