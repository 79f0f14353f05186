package infra

import (
	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Firewall is DigitalOcean's, in front of the droplet. The droplet has one of its own as well.
type Firewall struct {
	pulumi.ResourceState

	Firewall *do.Firewall
}

// FirewallArgs are the settings of a Firewall.
type FirewallArgs struct {
	Droplet pulumi.IntInput // required: number of the droplet
	SSHFrom []string        // required: CIDRs that may reach port 22
	Protect bool            // required: refuse to delete the firewall
}

var anywhere = pulumi.ToStringArray([]string{"0.0.0.0/0", "::/0"})

// NewFirewall lets in the web from anywhere and SSH from where operators are; nothing else. All
// may go out.
func NewFirewall(ctx *pulumi.Context, name string, args *FirewallArgs, opts ...pulumi.ResourceOption) (*Firewall, error) {
	f := &Firewall{}
	if err := ctx.RegisterComponentResource("townsquare:infra:Firewall", name, f, opts...); err != nil {
		return nil, err
	}
	in := func(protocol, port string, from pulumi.StringArray) do.FirewallInboundRuleArgs {
		return do.FirewallInboundRuleArgs{
			Protocol: pulumi.String(protocol), PortRange: pulumi.String(port), SourceAddresses: from,
		}
	}
	out := func(protocol, ports string) do.FirewallOutboundRuleArgs {
		rule := do.FirewallOutboundRuleArgs{Protocol: pulumi.String(protocol), DestinationAddresses: anywhere}
		if ports != "" {
			rule.PortRange = pulumi.String(ports)
		}
		return rule
	}
	var err error
	f.Firewall, err = do.NewFirewall(ctx, name+"-firewall", &do.FirewallArgs{
		Name:       pulumi.String(name),
		DropletIds: pulumi.IntArray{args.Droplet},
		InboundRules: do.FirewallInboundRuleArray{
			in("tcp", "22", pulumi.ToStringArray(args.SSHFrom)),
			in("tcp", "80", anywhere),
			in("tcp", "443", anywhere),
			in("udp", "443", anywhere),
		},
		OutboundRules: do.FirewallOutboundRuleArray{
			out("tcp", "1-65535"), out("udp", "1-65535"), out("icmp", ""),
		},
	}, pulumi.Parent(f), pulumi.Protect(args.Protect))
	if err != nil {
		return nil, err
	}
	return f, ctx.RegisterResourceOutputs(f, pulumi.Map{"firewall": f.Firewall.ID()})
}
