package provider

import (
	"context"
	"errors"
)

// Sweep removes machines that an engine which was killed had begun to make. It must only be called
// while no engine works on the cloud.
func Sweep(ctx context.Context, cloud *Cloud) error {
	unfinished := map[string]Placement{}
	if err := cloud.view(func(c *Contents) error {
		for id, place := range c.Machines {
			_, droplet := c.Resources["Droplet"][id]
			_, cluster := c.Resources["DatabaseCluster"][id]
			if !droplet && !cluster {
				unfinished[id] = place
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var problems []error
	for id, place := range unfinished {
		// Whichever it was to be: what there is none of is no error.
		problems = append(problems,
			droplets{&resource[DropletArgs, DropletState]{cloud: cloud, name: "Droplet"}}.undo(ctx, id, place.Machine),
			clusters{&resource[DatabaseClusterArgs, DatabaseClusterState]{cloud: cloud, name: "DatabaseCluster"}}.forget(ctx, id))
	}
	return errors.Join(problems...)
}
