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
	}
}

// baseTarget is the machines' Debian as a thing to build.
func baseTarget() build.Target {
	return build.Target{
		Name: "base", About: "Debian " + base.Release + ": what every machine starts from", Default: true,
		Get: func(ctx context.Context, _ *build.Cache) (string, error) {
			image, err := base.Build(ctx, progressOutput())
			return image.Dir, err
		},
		Has: func(context.Context, *build.Cache) (string, bool, error) {
			image, err := base.Find()
			return image.Dir, err == nil, nil
		},
	}
}

// releaseMirror is where the cloud's machines find Mattermost.
func releaseMirror(cloud *network.Cloud) (http.Handler, error) {
	return mirror.New(filepath.Join(cloud.Dir, "mirror"))
}
