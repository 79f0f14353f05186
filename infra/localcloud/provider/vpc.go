package provider

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/google/uuid"
)

// VpcArgs are the inputs of digitalocean.Vpc.
type VpcArgs struct {
	Description *string `pulumi:"description,optional"`
	IpRange     *string `pulumi:"ipRange,optional"`
	Name        *string `pulumi:"name,optional"`
	Region      string  `pulumi:"region"`
}

// VpcState is what is known of a VPC. It is recorded only: machines have one network.
type VpcState struct {
	VpcArgs
	CreatedAt string `pulumi:"createdAt"`
	Default   bool   `pulumi:"default"`
	VpcUrn    string `pulumi:"vpcUrn"`
}

func newVpcs(cloud *Cloud) infer.InferredResource {
	r := &resource[VpcArgs, VpcState]{cloud: cloud, name: "Vpc"}
	r.autoname = func(in *VpcArgs) **string { return &in.Name }
	r.check = func(in *VpcArgs) (failures []p.CheckFailure) {
		if in.IpRange != nil {
			if _, err := netip.ParsePrefix(*in.IpRange); err != nil {
				failures = append(failures, fails("ipRange", "%q is no network in CIDR notation", *in.IpRange))
			}
		}
		return failures
	}
	r.create = func(_ context.Context, in VpcArgs) (string, VpcState, error) {
		if err := knownRegion(in.Region); err != nil {
			return "", VpcState{}, err
		}
		id := uuid.NewString()
		if in.IpRange == nil {
			in.IpRange = ptr("10.110.0.0/20")
		} else if bits := netip.MustParsePrefix(*in.IpRange).Bits(); bits < 16 || bits > 28 {
			return "", VpcState{}, refused("ip_range: a VPC's network must be between /16 and /28, not /%d", bits)
		}
		state := VpcState{VpcArgs: in, CreatedAt: now(), VpcUrn: "do:vpc:" + id}
		err := cloud.change(func(c *Contents) error {
			// The first VPC of a region becomes its default.
			at := slices.Index(c.NewRegions, in.Region)
			if state.Default = at >= 0; state.Default {
				c.NewRegions = slices.Delete(c.NewRegions, at, at+1)
			}
			return c.put(r.name, id, state)
		})
		return id, state, err
	}
	r.update = func(_ context.Context, id string, old VpcState, state *VpcState) error {
		if state.IpRange == nil {
			state.IpRange = old.IpRange
		}
		_, _, err := r.record(id, *state)
		return err
	}
	r.remove = func(_ context.Context, id string, state VpcState) error {
		if state.Default {
			return errors.New("403: Can not delete default VPCs")
		}
		return cloud.change(func(c *Contents) error { c.drop(r.name, id); return nil })
	}
	return infer.Resource(r)
}
