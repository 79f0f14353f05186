package infra

import (
	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Network is the private network and the address the world knows.
type Network struct {
	pulumi.ResourceState

	VPC     *do.Vpc
	Address *do.ReservedIp // belongs to the stack, not to the droplet: a rebuilt server keeps it
	URNs    pulumi.StringArray
}

// NetworkArgs are the settings of a Network.
type NetworkArgs struct {
	Region  string // required: data centre
	Range   string // optional: CIDR of the VPC; DigitalOcean chooses if empty
	Protect bool   // required: refuse to delete the address
}

// vpcTimeouts let the VPC's last members go, which are in it for some minutes after their deletion; by
// default the provider waits for two.
var vpcTimeouts = pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "10m"})

// NewNetwork registers the VPC and the reserved address.
func NewNetwork(ctx *pulumi.Context, name string, args *NetworkArgs, opts ...pulumi.ResourceOption) (*Network, error) {
	n := &Network{}
	if err := ctx.RegisterComponentResource("townsquare:infra:Network", name, n, opts...); err != nil {
		return nil, err
	}
	parent := pulumi.Parent(n)
	vpcArgs := &do.VpcArgs{
		Name:        pulumi.String(name),
		Region:      pulumi.String(args.Region),
		Description: pulumi.String("Townsquare: the server and its database"),
	}
	if args.Range != "" {
		vpcArgs.IpRange = pulumi.String(args.Range)
	}
	var err error
	// Another range would replace the network, and with it the droplet and the database.
	if n.VPC, err = do.NewVpc(ctx, name+"-vpc", vpcArgs, parent, pulumi.Protect(args.Protect), vpcTimeouts); err != nil {
		return nil, err
	}
	n.Address, err = do.NewReservedIp(ctx, name+"-address", &do.ReservedIpArgs{Region: pulumi.String(args.Region)},
		parent, pulumi.Protect(args.Protect), pulumi.IgnoreChanges([]string{"dropletId"}))
	if err != nil {
		return nil, err
	}
	n.URNs = pulumi.StringArray{n.Address.ReservedIpUrn}
	return n, ctx.RegisterResourceOutputs(n, pulumi.Map{"vpc": n.VPC.ID(), "address": n.Address.IpAddress})
}
