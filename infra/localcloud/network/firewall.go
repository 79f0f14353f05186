package network

import (
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
)

// Apply makes the namespace's packet filter follow state, in one transaction.
func (c *Cloud) Apply(state State) error {
	rules, err := Ruleset(state)
	if err != nil {
		return err
	}
	if err := run(rules, "nsenter", "--net="+c.NamespacePath(), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("apply firewall: %w", err)
	}
	return nil
}

// Ruleset renders the table `inet cloud`: who may talk to which machine, and
// where reserved addresses lead.
func Ruleset(state State) (string, error) {
	var b strings.Builder
	b.WriteString("add table inet cloud\ndelete table inet cloud\ntable inet cloud {\n")
	guarded := map[string]Firewall{}
	for _, id := range sortedKeys(state.Firewalls) {
		fw := state.Firewalls[id]
		for _, name := range fw.Machines {
			have := guarded[name]
			have.Inbound = append(have.Inbound, fw.Inbound...)
			have.Outbound = append(have.Outbound, fw.Outbound...)
			guarded[name] = have
		}
	}

	type chain struct {
		id   int
		addr MachineAddr
	}
	var chains []chain
	for n, name := range sortedKeys(guarded) {
		addr, ok := state.Machines[name]
		if !ok {
			continue // a firewall may outlive its machine
		}
		fw := guarded[name]
		if err := writeChain(&b, fmt.Sprintf("to%d", n), "saddr", fw.Inbound); err != nil {
			return "", fmt.Errorf("firewall of %s: inbound: %w", name, err)
		}
		if err := writeChain(&b, fmt.Sprintf("from%d", n), "daddr", fw.Outbound); err != nil {
			return "", fmt.Errorf("firewall of %s: outbound: %w", name, err)
		}
		chains = append(chains, chain{n, addr})
	}
	for _, hook := range []string{"forward", "input", "output"} {
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook %s priority filter; policy accept;\n\t\tct state established,related accept\n", hook, hook)
		if hook == "input" {
			// Providers serve metadata whatever the firewall says.
			fmt.Fprintf(&b, "\t\tip daddr %s accept\n", MetadataAddress)
		}
		for _, ch := range chains {
			if hook != "output" {
				fmt.Fprintf(&b, "\t\tip saddr %s jump from%d\n\t\tip6 saddr %s jump from%d\n", ch.addr.Address, ch.id, ch.addr.Address6, ch.id)
			}
			if hook != "input" {
				fmt.Fprintf(&b, "\t\tip daddr %s jump to%d\n\t\tip6 daddr %s jump to%d\n", ch.addr.Address, ch.id, ch.addr.Address6, ch.id)
			}
		}
		b.WriteString("\t}\n")
	}
	writeNAT(&b, state)
	b.WriteString("}\n")
	return b.String(), nil
}

func writeNAT(b *strings.Builder, state State) {
	for _, hook := range []struct{ name, priority string }{{"prerouting", "dstnat"}, {"output", "-100"}} {
		fmt.Fprintf(b, "\tchain nat_%s {\n\t\ttype nat hook %s priority %s; policy accept;\n", hook.name, hook.name, hook.priority)
		for _, address := range sortedKeys(state.Reserved) {
			if m, ok := state.Machines[state.Reserved[address].Machine]; ok {
				fmt.Fprintf(b, "\t\tip daddr %s dnat ip to %s\n", address, m.Address)
			}
		}
		b.WriteString("\t}\n")
	}
	// A machine that talks to itself by its reserved address would refuse
	// packets that seem to come from itself.
	b.WriteString("\tchain nat_postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n")
	for _, name := range sortedKeys(state.Machines) {
		a := state.Machines[name].Address
		fmt.Fprintf(b, "\t\tip saddr %s ip daddr %s snat ip to %s\n", a, a, Gateway)
	}
	b.WriteString("\t}\n")
}

// writeChain returns from the chain on a match and drops at its end.
func writeChain(b *strings.Builder, name, side string, rules []Rule) error {
	fmt.Fprintf(b, "\tchain %s {\n", name)
	// Without neighbour discovery there is no IPv6 at all; providers pass it.
	b.WriteString("\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } return\n")
	for _, rule := range rules {
		for _, prefix := range rule.Prefixes {
			match, err := matchOf(rule, prefix)
			if err != nil {
				return err
			}
			family := "ip"
			if prefix.Addr().Is6() {
				family = "ip6"
			}
			fmt.Fprintf(b, "\t\t%s %s %s %s return\n", family, side, prefix.Masked(), match)
		}
	}
	b.WriteString("\t\tdrop\n\t}\n")
	return nil
}

func matchOf(rule Rule, prefix netip.Prefix) (string, error) {
	switch rule.Protocol {
	case "icmp":
		if prefix.Addr().Is6() {
			return "meta l4proto ipv6-icmp", nil
		}
		return "meta l4proto icmp", nil
	case "tcp", "udp":
		switch rule.Ports {
		case "", "0", "all":
			return "meta l4proto " + rule.Protocol, nil
		}
		first, last, isRange := strings.Cut(rule.Ports, "-")
		if !isRange {
			last = first
		}
		low, err := strconv.ParseUint(first, 10, 16)
		high, errHigh := strconv.ParseUint(last, 10, 16)
		if err != nil || errHigh != nil || low < 1 || low > high {
			return "", fmt.Errorf("ports %q: want a port from 1 to 65535, or a range such as 8000-9000", rule.Ports)
		}
		return fmt.Sprintf("%s dport %d-%d", rule.Protocol, low, high), nil
	}
	return "", fmt.Errorf("protocol %q: want tcp, udp or icmp", rule.Protocol)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
