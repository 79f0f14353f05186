//go:build machine

package machine_test

import (
	"fmt"
	"net/netip"
	"testing"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
)

func testFirewall(t *testing.T, cloud *network.Cloud, one, two *machine.Machine) {
	anywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	if !reaches(one, two.Spec.Address, 22, answer) || !reaches(one, two.Spec.Address6, 22, answer) {
		t.Fatal("without a firewall, one does not reach two")
	}
	err := cloud.Update(func(s *network.State) error {
		s.Firewalls["fw"] = network.Firewall{
			Machines: []string{"two"},
			Inbound:  []network.Rule{{Protocol: "tcp", Ports: "22", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.91.0.1/32"), netip.MustParsePrefix("fd91::1/128")}}},
			Outbound: []network.Rule{{Protocol: "tcp", Ports: "1-65535", Prefixes: anywhere}},
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := one.Spec, two.Spec
	for _, c := range []struct {
		what string
		got  bool
		want bool
	}{
		{"the gateway, named by a rule, reaches port 22", gatewayReaches(cloud, network.Gateway, b.Address, 22, answer), true},
		{"the gateway reaches port 22 by IPv6", gatewayReaches(cloud, network.Gateway6, b.Address6, 22, answer), true},
		{"an outsider reaches port 22", gatewayReaches(cloud, network.Outsider, b.Address, 22, silence), false},
		{"the other machine reaches port 22", reaches(one, b.Address, 22, silence), false},
		{"the other machine reaches port 22 by IPv6", reaches(one, b.Address6, 22, silence), false},
		{"the gateway reaches port 80", gatewayReaches(cloud, network.Gateway, b.Address, 80, silence), false},
		{"out by TCP, allowed", reaches(two, a.Address, 22, answer), true},
		{"out by TCP over IPv6, allowed", reaches(two, a.Address6, 22, answer), true},
		{"the machine without a firewall is open", gatewayReaches(cloud, network.Outsider, a.Address, 22, answer), true},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	if _, err := two.Exec(t.Context(), "timeout", "2", "ping", "-c1", a.Address.String()); err == nil {
		t.Error("out by ICMP, not allowed: it got through")
	}
	err = cloud.Update(func(s *network.State) error {
		delete(s.Firewalls, "fw")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reaches(one, b.Address, 22, answer) {
		t.Error("with the firewall gone, one does not reach two")
	}
}

func testReserved(t *testing.T, cloud *network.Cloud, one, two *machine.Machine) {
	address, err := cloud.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	if gatewayReaches(cloud, network.Gateway, address, 22, silence) {
		t.Error("an address that nobody has answers")
	}
	for _, m := range []*machine.Machine{one, two} {
		sh(t, m, "systemd-run -q --unit=who --working-directory=/etc python3 -m http.server 8099; curl -sSf --retry 20 --retry-all-errors --retry-delay 1 http://127.0.0.1:8099/hostname")
	}
	for _, m := range []*machine.Machine{one, two} {
		if err := cloud.Assign(address, m.Spec.Name); err != nil {
			t.Fatal(err)
		}
		if !gatewayReaches(cloud, network.Outsider, address, 22, answer) {
			t.Errorf("assigned to %s: not reached from the gateway", m.Spec.Name)
		}
		for _, from := range []*machine.Machine{one, two} {
			if got := sh(t, from, fmt.Sprintf("curl -sS -m 60 http://%s:8099/hostname", address)); got != m.Spec.Name {
				t.Errorf("assigned to %s: from %s it is %q", m.Spec.Name, from.Spec.Name, got)
			}
		}
	}
	if err := cloud.Assign(address, "nobody"); err == nil {
		t.Error("assigned to a machine that is not there")
	}
	if err := cloud.Release(address); err != nil {
		t.Fatal(err)
	}
	if gatewayReaches(cloud, network.Gateway, address, 22, silence) {
		t.Error("a released address answers")
	}
}

func testNames(t *testing.T, cloud *network.Cloud, m *machine.Machine) {
	err := cloud.Update(func(s *network.State) error {
		s.Records["a"] = network.Record{Name: "one.townsquare.test", Type: "A", Value: m.Spec.Address.String()}
		s.Records["aaaa"] = network.Record{Name: "one.townsquare.test.", Type: "AAAA", Value: m.Spec.Address6.String()}
		s.Records["alias"] = network.Record{Name: "alias.townsquare.test", Type: "CNAME", Value: "one.townsquare.test"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"one.townsquare.test":      m.Spec.Address6.String(),
		"alias.townsquare.test":    m.Spec.Address6.String(),
		"releases.townsquare.test": network.Gateway.String(),
	} {
		if got := sh(t, m, fmt.Sprintf("getent hosts %s | cut -d' ' -f1", name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := m.Exec(t.Context(), "getent", "hosts", "nobody.townsquare.test"); err == nil {
		t.Error("a name without records was found")
	}
}

// testCertificates has a real web server get a certificate from the cloud's
// authority for its name, and another machine trust it.
func testCertificates(t *testing.T, _ *network.Cloud, one, two *machine.Machine) {
	sh(t, one, `
		. /etc/os-release
		sed "s/^Suites: $VERSION_CODENAME .*/Suites: $VERSION_CODENAME-backports/; /^$/,\$d" /etc/apt/sources.list.d/debian.sources > /etc/apt/sources.list.d/backports.sources
		apt-get update -q
		apt-get install -q -y -t $VERSION_CODENAME-backports caddy
		printf '{\n acme_ca https://acme.townsquare.test:14000/dir\n}\none.townsquare.test {\n respond "served by one"\n}\n' > /etc/caddy/Caddyfile
		systemctl restart caddy`)
	if got := sh(t, two, "curl -sSf --retry 20 --retry-all-errors --retry-delay 1 https://one.townsquare.test/"); got != "served by one" {
		t.Errorf("over HTTPS: %q\n%s", got, sh(t, one, "journalctl -u caddy --no-pager | tail -20"))
	}
}
