package provider

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/google/uuid"
)

// FirewallArgs are the inputs of digitalocean.Firewall.
type FirewallArgs struct {
	DropletIds    []int          `pulumi:"dropletIds,optional"`
	InboundRules  []InboundRule  `pulumi:"inboundRules,optional"`
	Name          *string        `pulumi:"name,optional"`
	OutboundRules []OutboundRule `pulumi:"outboundRules,optional"`
	Tags          []string       `pulumi:"tags,optional"`
}

// InboundRule admits traffic to the firewall's droplets.
type InboundRule struct {
	PortRange              *string  `pulumi:"portRange,optional"`
	Protocol               string   `pulumi:"protocol"`
	SourceAddresses        []string `pulumi:"sourceAddresses,optional"`
	SourceDropletIds       []int    `pulumi:"sourceDropletIds,optional"`
	SourceKubernetesIds    []string `pulumi:"sourceKubernetesIds,optional"`
	SourceLoadBalancerUids []string `pulumi:"sourceLoadBalancerUids,optional"`
	SourceTags             []string `pulumi:"sourceTags,optional"`
}

// OutboundRule admits traffic from the firewall's droplets.
type OutboundRule struct {
	DestinationAddresses        []string `pulumi:"destinationAddresses,optional"`
	DestinationDropletIds       []int    `pulumi:"destinationDropletIds,optional"`
	DestinationKubernetesIds    []string `pulumi:"destinationKubernetesIds,optional"`
	DestinationLoadBalancerUids []string `pulumi:"destinationLoadBalancerUids,optional"`
	DestinationTags             []string `pulumi:"destinationTags,optional"`
	PortRange                   *string  `pulumi:"portRange,optional"`
	Protocol                    string   `pulumi:"protocol"`
}

// PendingChange is a droplet to which a firewall does not apply yet. Here changes take effect at
// once, so there are none.
type PendingChange struct {
	DropletId *int    `pulumi:"dropletId,optional"`
	Removing  *bool   `pulumi:"removing,optional"`
	Status    *string `pulumi:"status,optional"`
}

// FirewallState is a firewall in front of droplets, outside of them.
type FirewallState struct {
	FirewallArgs
	CreatedAt      string          `pulumi:"createdAt"`
	PendingChanges []PendingChange `pulumi:"pendingChanges,optional"`
	Status         string          `pulumi:"status"`
}

var validPorts = regexp.MustCompile(`^(all|\d+|\d+-\d+)$`)

func newFirewalls(cloud *Cloud) infer.InferredResource {
	r := &resource[FirewallArgs, FirewallState]{cloud: cloud, name: "Firewall"}
	r.autoname = func(in *FirewallArgs) **string { return &in.Name }
	r.check = checkFirewall
	r.create = func(ctx context.Context, in FirewallArgs) (string, FirewallState, error) {
		id := uuid.NewString()
		state := FirewallState{FirewallArgs: in, CreatedAt: now(), PendingChanges: []PendingChange{}, Status: "succeeded"}
		if err := refuseFirewall(in); err != nil {
			return "", state, err
		}
		return id, state, cloud.changeNetwork(ctx, func(c *Contents) error {
			if err := c.dropletsExist(in.DropletIds); err != nil {
				return err
			}
			return c.put(r.name, id, state)
		})
	}
	r.update = func(ctx context.Context, id string, _ FirewallState, state *FirewallState) error {
		if err := refuseFirewall(state.FirewallArgs); err != nil {
			return err
		}
		return cloud.changeNetwork(ctx, func(c *Contents) error {
			if err := c.dropletsExist(state.DropletIds); err != nil {
				return err
			}
			return c.put(r.name, id, *state)
		})
	}
	r.remove = func(ctx context.Context, id string, _ FirewallState) error {
		return cloud.changeNetwork(ctx, func(c *Contents) error { c.drop(r.name, id); return nil })
	}
	return infer.Resource(r)
}

func checkFirewall(in *FirewallArgs) (failures []p.CheckFailure) {
	if len(in.InboundRules)+len(in.OutboundRules) == 0 {
		failures = append(failures, fails("inboundRules", "at least one rule must be specified"))
	}
	check := func(property string, index int, protocol string, ports *string) {
		if protocol != "icmp" && value(ports) == "" {
			failures = append(failures, fails(property, "rule %d: portRange is required if the protocol is tcp or udp", index+1))
		}
	}
	for i, rule := range in.InboundRules {
		check("inboundRules", i, rule.Protocol, rule.PortRange)
	}
	for i, rule := range in.OutboundRules {
		check("outboundRules", i, rule.Protocol, rule.PortRange)
	}
	return append(failures, checkTags(in.Tags)...)
}

// refuseFirewall is what the API answers to rules that the provider lets through.
func refuseFirewall(in FirewallArgs) error {
	var problems []error
	if len(in.DropletIds) > 10 {
		problems = append(problems, refused("droplet_ids: a firewall covers at most 10 droplets by id, not %d", len(in.DropletIds)))
	}
	check := func(ports *string, peers []string) {
		if ports != nil && !validPortRange(*ports) {
			problems = append(problems, refused("ports: %q is no port between 1 and 65535, range, or all", *ports))
		}
		for _, peer := range peers {
			if _, err := parsePeer(peer); err != nil {
				problems = append(problems, refused("addresses: %w", err))
			}
		}
	}
	for _, rule := range in.InboundRules {
		check(rule.PortRange, rule.SourceAddresses)
	}
	for _, rule := range in.OutboundRules {
		check(rule.PortRange, rule.DestinationAddresses)
	}
	return errors.Join(problems...)
}

func validPortRange(text string) bool {
	if !validPorts.MatchString(text) {
		return false
	}
	first, last, _ := strings.Cut(text, "-")
	for _, port := range []string{first, last} {
		if number, err := strconv.Atoi(port); err == nil && number > 65535 {
			return false
		}
	}
	return true
}

func (c *Contents) dropletsExist(ids []int) error {
	for _, id := range ids {
		if _, ok := c.Resources["Droplet"][dropletID(id)]; !ok {
			return refused("droplet %d: %w", id, errNotFound)
		}
	}
	return nil
}
