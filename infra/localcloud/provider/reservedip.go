package provider

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// ReservedIpArgs are the inputs of digitalocean.ReservedIp.
type ReservedIpArgs struct {
	DropletId *int    `pulumi:"dropletId,optional"`
	IpAddress *string `pulumi:"ipAddress,optional"`
	Region    string  `pulumi:"region"`
}

// ReservedIpState is a public address that outlives the droplet it points at.
type ReservedIpState struct {
	ReservedIpArgs
	ReservedIpUrn string `pulumi:"reservedIpUrn"`
}

// reservedNetwork is where reserved addresses come from.
var reservedNetwork = netip.MustParsePrefix("10.91.1.0/24")

func newReservedIps(cloud *Cloud) infer.InferredResource {
	r := &resource[ReservedIpArgs, ReservedIpState]{cloud: cloud, name: "ReservedIp"}
	r.create = func(ctx context.Context, in ReservedIpArgs) (id string, state ReservedIpState, err error) {
		if err := knownRegion(in.Region); err != nil {
			return "", state, err
		}
		err = cloud.changeNetwork(ctx, func(c *Contents) error {
			address, err := c.freeReserved(in.IpAddress)
			if err != nil {
				return err
			}
			id = address.String()
			in.IpAddress = &id
			state = ReservedIpState{ReservedIpArgs: in, ReservedIpUrn: "do:reservedip:" + id}
			return c.putReserved(id, state)
		})
		return id, state, err
	}
	r.update = func(ctx context.Context, id string, old ReservedIpState, state *ReservedIpState) error {
		state.IpAddress = old.IpAddress
		return cloud.changeNetwork(ctx, func(c *Contents) error {
			var current ReservedIpState
			if err := c.get(r.name, id, &current); err != nil {
				return err
			}
			if state.DropletId == nil && old.DropletId == nil {
				state.DropletId = current.DropletId // as an assignment has set it
			}
			return c.putReserved(id, *state)
		})
	}
	r.remove = func(ctx context.Context, id string, _ ReservedIpState) error {
		return cloud.changeNetwork(ctx, func(c *Contents) error {
			assignments, err := all[ReservedIpAssignmentState](c, "ReservedIpAssignment")
			for assignment, state := range assignments {
				if state.IpAddress == id { // one that a refresh has found gone
					c.drop("ReservedIpAssignment", assignment)
				}
			}
			c.drop(r.name, id)
			return err
		})
	}
	return infer.Resource(r)
}

func (c *Contents) putReserved(id string, state ReservedIpState) error {
	if state.DropletId != nil {
		if err := c.dropletsExist([]int{*state.DropletId}); err != nil {
			return err
		}
	}
	return c.put("ReservedIp", id, state)
}

func (c *Contents) freeReserved(wanted *string) (netip.Addr, error) {
	if wanted != nil {
		return netip.Addr{}, refused("ip: %s: an address cannot be chosen", *wanted)
	}
	for address := reservedNetwork.Addr().Next(); reservedNetwork.Contains(address.Next()); address = address.Next() {
		if _, taken := c.Resources["ReservedIp"][address.String()]; !taken {
			return address, nil
		}
	}
	return netip.Addr{}, errors.New("all reserved addresses are taken")
}

// ReservedIpAssignmentArgs are the inputs of digitalocean.ReservedIpAssignment.
type ReservedIpAssignmentArgs struct {
	DropletId int    `pulumi:"dropletId"`
	IpAddress string `pulumi:"ipAddress"`
}

// ReservedIpAssignmentState points a reserved address at a droplet.
type ReservedIpAssignmentState struct{ ReservedIpAssignmentArgs }

func newReservedIpAssignments(cloud *Cloud) infer.InferredResource {
	r := &resource[ReservedIpAssignmentArgs, ReservedIpAssignmentState]{cloud: cloud, name: "ReservedIpAssignment"}
	r.create = func(ctx context.Context, in ReservedIpAssignmentArgs) (string, ReservedIpAssignmentState, error) {
		state := ReservedIpAssignmentState{in}
		id := fmt.Sprintf("%d-%s-%s", in.DropletId, in.IpAddress, randomHex(6))
		return id, state, cloud.changeNetwork(ctx, func(c *Contents) error {
			if err := c.assign(in.IpAddress, &in.DropletId); err != nil {
				return err
			}
			return c.put(r.name, id, state)
		})
	}
	r.refresh = func(_ context.Context, _ string, state *ReservedIpAssignmentState) error {
		return cloud.view(func(c *Contents) error {
			var reserved ReservedIpState
			err := c.get("ReservedIp", state.IpAddress, &reserved)
			if err == nil && (reserved.DropletId == nil || *reserved.DropletId != state.DropletId) {
				err = errNotFound
			}
			return err
		})
	}
	r.remove = func(ctx context.Context, id string, state ReservedIpAssignmentState) error {
		return cloud.changeNetwork(ctx, func(c *Contents) error {
			var reserved ReservedIpState
			err := c.get("ReservedIp", state.IpAddress, &reserved)
			if _, recorded := c.Resources[r.name][id]; recorded && err == nil && reserved.DropletId == nil {
				// DigitalOcean's provider 4.76.0 reads the droplet's number before it asks whether there is one.
				return errors.New("panic: runtime error: invalid memory address or nil pointer dereference")
			}
			// Another droplet may have taken the address over meanwhile: it keeps it.
			if err == nil && reserved.DropletId != nil && *reserved.DropletId == state.DropletId {
				err = c.assign(state.IpAddress, nil)
			}
			c.drop(r.name, id)
			return ignoreNotFound(err)
		})
	}
	return infer.Resource(r)
}

// assign points a reserved address at a droplet, or, with nil, at nothing.
func (c *Contents) assign(address string, droplet *int) error {
	var reserved ReservedIpState
	if err := c.get("ReservedIp", address, &reserved); err != nil {
		return err
	}
	reserved.DropletId = droplet
	return c.putReserved(address, reserved)
}

// unassign takes every reserved address off a droplet.
func (c *Contents) unassign(droplet string) error {
	addresses, err := all[ReservedIpState](c, "ReservedIp")
	if err != nil {
		return err
	}
	for id, reserved := range addresses {
		if reserved.DropletId != nil && dropletID(*reserved.DropletId) == droplet {
			if err := c.assign(id, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
