package provider

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// networkOf is what all firewalls, reserved addresses and DNS records together ask of the network.
func networkOf(c *Contents) (Network, error) {
	network := Network{Firewalls: map[string]HostFirewall{}, Reserved: map[netip.Addr]string{}}
	for _, add := range []func(*Contents, *Network) error{addFirewalls, addDatabaseFirewalls, addReserved, addRecords, addDatabaseNames} {
		if err := add(c, &network); err != nil {
			return Network{}, err
		}
	}
	return network, nil
}

// addFirewalls gives every droplet that a firewall covers, by id or tag, the rules of all of them.
func addFirewalls(c *Contents, network *Network) error {
	firewalls, err := all[FirewallState](c, "Firewall")
	if err != nil {
		return err
	}
	hosts, err := all[DropletState](c, "Droplet")
	if err != nil {
		return err
	}
	for _, firewall := range firewalls {
		var inbound, outbound []Rule
		for _, rule := range firewall.InboundRules {
			peers, err := peersOf(c, hosts, rule.SourceAddresses, rule.SourceDropletIds, rule.SourceTags)
			if err != nil {
				return err
			}
			inbound = append(inbound, Rule{Protocol: rule.Protocol, Ports: portsOf(rule.PortRange), Peers: peers})
		}
		for _, rule := range firewall.OutboundRules {
			peers, err := peersOf(c, hosts, rule.DestinationAddresses, rule.DestinationDropletIds, rule.DestinationTags)
			if err != nil {
				return err
			}
			outbound = append(outbound, Rule{Protocol: rule.Protocol, Ports: portsOf(rule.PortRange), Peers: peers})
		}
		for id, host := range hosts {
			if !firewall.covers(id, host) {
				continue
			}
			machine := c.Machines[id].Machine
			sum := network.Firewalls[machine]
			sum.Inbound, sum.Outbound = append(sum.Inbound, inbound...), append(sum.Outbound, outbound...)
			network.Firewalls[machine] = sum
		}
	}
	return nil
}

func (f FirewallState) covers(id string, host DropletState) bool {
	for _, covered := range f.DropletIds {
		if dropletID(covered) == id {
			return true
		}
	}
	return overlap(f.Tags, host.Tags)
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(tag string) bool { return slices.Contains(b, tag) })
}

// peersOf turns what a rule names into networks: addresses, droplets, and all droplets of a tag.
func peersOf(c *Contents, hosts map[string]DropletState, addresses []string, ids []int, tags []string) (peers []netip.Prefix, err error) {
	for _, address := range addresses {
		prefix, err := parsePeer(address)
		if err != nil {
			return nil, err
		}
		peers = append(peers, prefix)
	}
	for id, host := range hosts {
		named := slices.ContainsFunc(ids, func(number int) bool { return dropletID(number) == id })
		if named || overlap(tags, host.Tags) {
			peers = append(peers, c.Machines[id].prefixes()...)
		}
	}
	return peers, nil
}

// parsePeer reads a rule's source or destination: a network, or one address.
func parsePeer(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no address and no network in CIDR notation", text)
	}
	return prefix.Masked(), nil
}

// portsOf reads a rule's ports; "all" and "0" are every port.
func portsOf(ports *string) string {
	if text := strings.TrimSpace(value(ports)); text != "all" && text != "0" {
		return text
	}
	return ""
}

func addReserved(c *Contents, network *Network) error {
	addresses, err := all[ReservedIpState](c, "ReservedIp")
	if err != nil {
		return err
	}
	for id, reserved := range addresses {
		address, err := netip.ParseAddr(id)
		if err != nil {
			return err
		}
		machine := ""
		if reserved.DropletId != nil {
			machine = c.Machines[dropletID(*reserved.DropletId)].Machine
		}
		network.Reserved[address] = machine
	}
	return nil
}
