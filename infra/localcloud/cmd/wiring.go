package cmd

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"townsquare/infra"
	"townsquare/infra/localcloud/base"
	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/mirror"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/runner"
	"townsquare/infra/localcloud/services"
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

// serviceOptions gathers what the daemon is made of.
func serviceOptions(cloud *network.Cloud, pebble string, forward bool) (services.Options, error) {
	releases, err := mirror.New(filepath.Join(cloud.Dir, "mirror"))
	if err != nil {
		return services.Options{}, err
	}
	return services.Options{Pebble: pebble, Mirror: releases, Forward: forward}, nil
}
