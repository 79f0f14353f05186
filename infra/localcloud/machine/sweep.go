package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"townsquare/infra/localcloud/network"
)

// Sweep removes all machines and volumes of a cloud, also half-made ones.
func Sweep(ctx context.Context, cloud *network.Cloud) error {
	entries, err := os.ReadDir(directory(cloud, ""))
	if errors.Is(err, os.ErrNotExist) {
		entries, err = nil, nil
	}
	failed := err
	for _, e := range entries {
		m, err := Open(cloud, e.Name())
		if errors.Is(err, ErrNotExist) {
			failed = errors.Join(failed, os.RemoveAll(directory(cloud, e.Name())))
			continue
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		failed = errors.Join(failed, m.Remove(ctx))
	}
	groups, err := findCgroups("townsquare-" + cloud.Name)
	if err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, groups.kill(ctx), groups.remove(ctx), os.RemoveAll(filepath.Join(cloud.Dir, "volumes")))
}
