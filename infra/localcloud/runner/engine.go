package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"

	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/provider/local"
)

// minimumEngine is the oldest Pulumi that the program is known to run on.
var minimumEngine = semver.MustParse("3.253.0")

// engine is the Pulumi of this computer where it is new enough, else the one in the cache, which is
// built where it is missing.
func engine(ctx context.Context, cache *build.Cache) (auto.PulumiCommand, error) {
	options := auto.PulumiCommandOptions{Version: minimumEngine}
	if path, err := exec.LookPath("pulumi"); err == nil {
		// By its own path, and not by name: the folder of the one that is found comes first in PATH
		// then, and the engine finds its language plug-in there.
		if dir := filepath.Dir(path); filepath.Base(dir) == "bin" {
			options.Root = filepath.Dir(dir)
		}
		if found, err := auto.NewPulumiCommand(&options); err == nil {
			return found, nil
		}
	}
	path, err := build.Pulumi().Get(ctx, cache)
	if err != nil {
		return nil, err
	}
	options.Root = filepath.Dir(filepath.Dir(path))
	command, err := auto.NewPulumiCommand(&options)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return command, nil
}

// offer puts this program where the engine looks for the provider: under the provider's name it is
// the provider.
func (p place) offer(program string) error {
	link := filepath.Join(p.plugins(), local.PluginName)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(program, link)
}
