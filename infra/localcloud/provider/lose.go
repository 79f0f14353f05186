package provider

import (
	"context"
	"fmt"
)

// Lose deletes a droplet, by its name, and the volumes at it, as a person may in the control panel:
// the engine is not told, and its next refresh finds them gone.
func Lose(ctx context.Context, cloud *Cloud, name string) error {
	lost := map[string]DropletState{}
	volumes := map[string]VolumeState{}
	err := cloud.view(func(c *Contents) error {
		droplets, err := all[DropletState](c, "Droplet")
		if err != nil {
			return err
		}
		everyVolume, err := all[VolumeState](c, "Volume")
		if err != nil {
			return err
		}
		for id, droplet := range droplets {
			if value(droplet.Name) != name {
				continue
			}
			lost[id] = droplet
			for volume, state := range everyVolume {
				if len(state.DropletIds) > 0 && dropletID(state.DropletIds[0]) == id {
					volumes[volume] = state
				}
			}
		}
		if len(lost) == 0 {
			return fmt.Errorf("droplet %q: %w", name, errNotFound)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, state := range lost {
		made := droplets{&resource[DropletArgs, DropletState]{cloud: cloud, name: "Droplet"}}
		if err := made.destroy(ctx, id, state); err != nil {
			return fmt.Errorf("delete droplet %s: %w", name, err)
		}
	}
	for id, state := range volumes {
		if err := cloud.backend.RemoveVolume(ctx, *state.Name); err != nil {
			return fmt.Errorf("delete volume %s: %w", *state.Name, err)
		}
		if err := cloud.change(func(c *Contents) error { c.drop("Volume", id); return nil }); err != nil {
			return err
		}
	}
	return nil
}
