package network

import (
	"net/netip"
	"strings"
	"testing"
)

func testCloud(t *testing.T) *Cloud {
	return &Cloud{Name: "unit", Dir: t.TempDir()}
}

func TestOpenRefusesNames(t *testing.T) {
	for _, name := range []string{"", "Demo", "a-b", "../x", "1a", strings.Repeat("a", 17)} {
		if _, err := Open(name); err == nil {
			t.Errorf("Open(%q) is no error", name)
		}
	}
	if c, err := Open("demo"); err != nil || c.Namespace() != "tsq-demo" || c.Dir != "/var/lib/townsquare-cloud/demo" {
		t.Errorf("Open(demo) = %+v, %v", c, err)
	}
}

func TestClaim(t *testing.T) {
	c := testCloud(t)
	first, err := c.Claim("one", MachineAddr{})
	if err != nil || first.Address != netip.MustParseAddr("10.91.0.10") || first.Address6 != netip.MustParseAddr("fd91::10") {
		t.Fatalf("first: %+v, %v", first, err)
	}
	if again, err := c.Claim("one", MachineAddr{}); err != nil || again != first {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := c.Claim("two", MachineAddr{Address: first.Address}); err == nil {
		t.Error("one's address was given to two")
	}
	for _, bad := range []string{"10.91.0.1", "192.0.2.7"} {
		if _, err := c.Claim("two", MachineAddr{Address: netip.MustParseAddr(bad)}); err == nil {
			t.Errorf("%s was given", bad)
		}
	}
	wanted, err := c.Claim("two", MachineAddr{Address: netip.MustParseAddr("10.91.0.123")})
	if err != nil || wanted.Address6 != netip.MustParseAddr("fd91::123") {
		t.Errorf("wanted: %+v, %v", wanted, err)
	}
	if err := c.Free("one"); err != nil {
		t.Fatal(err)
	}
	if third, err := c.Claim("three", MachineAddr{}); err != nil || third.Address != first.Address {
		t.Errorf("a freed address is not used again: %+v, %v", third, err)
	}
}

func TestReservedFollowsItsMachine(t *testing.T) {
	c := testCloud(t)
	address, err := c.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Assign(address, "one"); err == nil {
		t.Error("assigned to a machine that is not there")
	}
	if _, err := c.Claim("one", MachineAddr{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Assign(address, "one"); err != nil {
		t.Fatal(err)
	}
	state, _ := c.State()
	rules, err := Ruleset(state)
	if err != nil || strings.Count(rules, "ip daddr 10.91.1.1 dnat ip to 10.91.0.10") != 2 {
		t.Errorf("rules: %v\n%s", err, rules)
	}
	if err := c.Free("one"); err != nil {
		t.Fatal(err)
	}
	if state, _ = c.State(); state.Reserved[address.String()].Machine != "" {
		t.Errorf("the address still leads to a machine that is gone")
	}
}

func TestRulesetRefuses(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	for name, rule := range map[string]Rule{
		"protocol": {Protocol: "sctp", Prefixes: prefixes},
		"word":     {Protocol: "tcp", Ports: "http", Prefixes: prefixes},
		"too high": {Protocol: "tcp", Ports: "99999", Prefixes: prefixes},
		"backward": {Protocol: "tcp", Ports: "90-80", Prefixes: prefixes},
		"sneaky":   {Protocol: "tcp", Ports: "80 accept", Prefixes: prefixes},
		"sneaky 2": {Protocol: "tcp", Ports: "80-81 accept", Prefixes: prefixes},
	} {
		state := State{
			Machines:  map[string]MachineAddr{"m": {Address: netip.MustParseAddr("10.91.0.10"), Address6: netip.MustParseAddr("fd91::10")}},
			Firewalls: map[string]Firewall{"f": {Machines: []string{"m"}, Inbound: []Rule{rule}}},
		}
		if rules, err := Ruleset(state); err == nil {
			t.Errorf("%s: no error\n%s", name, rules)
		}
	}
}

func TestRulesetAddsFirewallsUp(t *testing.T) {
	state := State{
		Machines: map[string]MachineAddr{"m": {Address: netip.MustParseAddr("10.91.0.10"), Address6: netip.MustParseAddr("fd91::10")}},
		Firewalls: map[string]Firewall{
			"a": {Machines: []string{"m", "gone"}, Inbound: []Rule{{Protocol: "tcp", Ports: "22", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/8")}}}},
			"b": {Machines: []string{"m"}, Inbound: []Rule{
				{Protocol: "udp", Ports: "8000-9000", Prefixes: []netip.Prefix{netip.MustParsePrefix("::/0")}},
				{Protocol: "icmp", Prefixes: []netip.Prefix{netip.MustParsePrefix("::/0")}},
			}},
		},
	}
	rules, err := Ruleset(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ip saddr 10.0.0.0/8 tcp dport 22-22 return",
		"ip6 saddr ::/0 udp dport 8000-9000 return",
		"ip6 saddr ::/0 meta l4proto ipv6-icmp return",
		"ip daddr 10.91.0.10 jump to",
		"ip6 saddr fd91::10 jump from",
	} {
		if !strings.Contains(rules, want) {
			t.Errorf("no %q in\n%s", want, rules)
		}
	}
}
