package provider

import (
	"context"
	"errors"
	"fmt"
)

// What can be lost in the control panel.
const (
	LoseServer   = "server"   // the droplet and the volumes at it
	LoseDroplet  = "droplet"  // the volumes stay
	LoseDatabase = "database" // a managed cluster with all that is in it
	LoseBucket   = "bucket"   // with all that is in it
)

// Lose deletes something, by its name, as an operator may in the control panel: the engine is not
// told, and its next refresh finds it gone.
func Lose(ctx context.Context, cloud *Cloud, what, name string) error {
	var err error
	switch what {
	case LoseServer, LoseDroplet:
		err = loseDroplet(ctx, cloud, name, what == LoseServer)
	case LoseDatabase:
		lost := clusters{&resource[DatabaseClusterArgs, DatabaseClusterState]{cloud: cloud, name: "DatabaseCluster"}}
		err = loseEach(cloud, lost.name, func(id string, state DatabaseClusterState) error {
			if value(state.Name) != name {
				return errNotFound
			}
			return lost.destroy(ctx, id, state)
		})
	case LoseBucket:
		err = loseEach(cloud, "SpacesBucket", func(id string, state SpacesBucketState) error {
			if value(state.Name) != name {
				return errNotFound
			}
			if err := cloud.backend.RemoveBucket(ctx, id, true); err != nil {
				return err
			}
			return cloud.change(func(c *Contents) error { c.drop("SpacesBucket", id); return nil })
		})
	default:
		err = errors.New("want server, droplet, database or bucket")
	}
	if err != nil {
		return fmt.Errorf("delete %s %s: %w", what, name, err)
	}
	return nil
}

// loseEach calls lose for each resource of a kind. errNotFound from all of them is an error.
func loseEach[S any](cloud *Cloud, kind string, lose func(id string, state S) error) error {
	var there map[string]S
	if err := cloud.view(func(c *Contents) (err error) { there, err = all[S](c, kind); return err }); err != nil {
		return err
	}
	lost := 0
	for id, state := range there {
		switch err := lose(id, state); {
		case err == nil:
			lost++
		case !errors.Is(err, errNotFound):
			return err
		}
	}
	if lost == 0 {
		return errNotFound
	}
	return nil
}

func loseDroplet(ctx context.Context, cloud *Cloud, name string, withVolumes bool) error {
	lost := droplets{&resource[DropletArgs, DropletState]{cloud: cloud, name: "Droplet"}}
	var volumes map[string]VolumeState // as they are attached before
	if err := cloud.view(func(c *Contents) (err error) { volumes, err = all[VolumeState](c, "Volume"); return err }); err != nil {
		return err
	}
	return loseEach(cloud, lost.name, func(droplet string, state DropletState) error {
		if value(state.Name) != name {
			return errNotFound
		}
		if err := lost.destroy(ctx, droplet, state); err != nil || !withVolumes {
			return err
		}
		for id, volume := range volumes {
			if len(volume.DropletIds) == 0 || dropletID(volume.DropletIds[0]) != droplet {
				continue
			}
			if err := cloud.backend.RemoveVolume(ctx, *volume.Name); err != nil {
				return fmt.Errorf("volume %s: %w", *volume.Name, err)
			}
			if err := cloud.change(func(c *Contents) error { c.drop("Volume", id); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
}
