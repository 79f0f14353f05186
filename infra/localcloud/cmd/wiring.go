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
	cmd := &cobra.Command{
		Use: "lose DROPLET", Args: cobra.ExactArgs(1),
		Short: "Delete a droplet and its volumes behind Pulumi's back",
		Long: `Delete a droplet and its volumes behind Pulumi's back, as somebody may in the control
panel. What brings it back: localcloud pulumi refresh, localcloud pulumi up, and a
backup.`,
		Example: "  localcloud lose --cloud demo townsquare-dev",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cloud.open()
			if err != nil {
				return err
			}
			return provider.Lose(cmd.Context(), &provider.Cloud{Name: c.Name, Open: local.Open}, args[0])
		},
	}
	cloud.add(cmd)
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
