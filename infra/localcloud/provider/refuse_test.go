package provider

import (
	"maps"
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// What DigitalOcean's API refuses, and what its provider refuses before it asks, is refused here; a
// resource that was refused is not there.
func TestRefused(t *testing.T) {
	rule := func(protocol, ports, source string) property.Value {
		return list(object(in{"protocol": text(protocol), "portRange": text(ports), "sourceAddresses": list(text(source))}))
	}
	alert := func(changes in) in {
		inputs := in{
			"alerts": object(in{"emails": list(text("a@b.example"))}), "compare": text("GreaterThan"), "description": text("cpu"),
			"type": text("v1/insights/droplet/cpu"), "value": property.New(90.0), "window": text("5m"),
		}
		maps.Copy(inputs, changes)
		return inputs
	}
	cluster := func(changes in) in {
		inputs := in{
			"name": text("mm-db"), "engine": text("pg"), "version": text("17"), "size": text("db-s-1vcpu-1gb"), "region": text("fra1"), "nodeCount": property.New(1.0),
		}
		maps.Copy(inputs, changes)
		return inputs
	}
	told := list(object(in{"emails": list(text("a@b.example"))}))
	for _, c := range []struct {
		name, kind string
		inputs     in
		want       string
	}{
		{"size", "Droplet", droplet("mm", in{"size": text("s-4vcpu-8bg")}), `size: "s-4vcpu-8bg" is invalid`},
		{"image", "Droplet", droplet("mm", in{"image": text("debian-31-x64")}), `image: "debian-31-x64" is invalid`},
		{"another image", "Droplet", droplet("mm", in{"image": text("ubuntu-24-04-x64")}), "boots debian-13-x64 only"},
		{"no image", "Droplet", droplet("mm", in{"image": text("")}), "must not be empty"},
		{"region", "Droplet", droplet("mm", in{"region": text("fra9")}), `"fra9" is unavailable`},
		{"user data", "Droplet", droplet("mm", in{"userData": text(strings.Repeat("x", 64<<10+1))}), "65537 bytes are too many"},
		{"host name", "Droplet", droplet("mm_1", nil), "only valid hostname characters"},
		{"key", "Droplet", droplet("mm", in{"sshKeys": list(text("1"))}), "invalid key identifiers"},
		{"vpc", "Droplet", droplet("mm", in{"vpcUuid": text("x")}), "404"},
		{"no such volume", "Droplet", droplet("mm", in{"volumeIds": list(text("x"))}), "404"},
		{"tag", "Droplet", droplet("mm", in{"tags": list(text("a b"))}), `"a b" may only have`},
		{"backup policy", "Droplet", droplet("mm", in{"backupPolicy": object(in{"plan": text("daily")})}), "when backups are enabled"},
		{"range", "Vpc", in{"region": text("fra1"), "ipRange": text("10.0.0.0")}, "no network"},
		{"range too large", "Vpc", in{"region": text("fra1"), "ipRange": text("10.0.0.0/8")}, "between /16 and /28"},
		{"public key", "SshKey", in{"publicKey": text("ssh-ed25519 nonsense")}, "Key invalid"},
		{"volume name", "Volume", in{"name": text("1files"), "region": text("fra1"), "size": property.New(1.0)}, "beginning with a letter"},
		{"volume size", "Volume", in{"name": text("files"), "region": text("fra1"), "size": property.New(0.0)}, "at least 1 GiB"},
		{"file system", "Volume", in{"region": text("fra1"), "size": property.New(1.0), "initialFilesystemType": text("zfs")}, "none of ext4, xfs"},
		{"no rules", "Firewall", in{"name": text("wall")}, "at least one rule"},
		{"protocol", "Firewall", in{"inboundRules": rule("sctp", "1", "::/0")}, "none of tcp, udp, icmp"},
		{"no port", "Firewall", in{"inboundRules": rule("tcp", "", "::/0")}, "portRange is required"},
		{"port", "Firewall", in{"inboundRules": rule("tcp", "99999", "::/0")}, `"99999" is no port`},
		{"source", "Firewall", in{"inboundRules": rule("tcp", "22", "home")}, `"home" is no address`},
		{"droplet", "Firewall", in{"inboundRules": rule("tcp", "22", "::/0"), "dropletIds": list(property.New(7.0))}, "droplet 7: 404"},
		{"domain", "Domain", in{"name": text("not a domain")}, "not a valid domain"},
		{"zone", "DnsRecord", in{"domain": text("nowhere.test"), "type": text("A"), "value": text("10.0.0.1")}, "404"},
		{"type", "DnsRecord", in{"domain": text("x.test"), "type": text("B"), "value": text("10.0.0.1")}, "none of A, AAAA"},
		{"address", "DnsRecord", in{"domain": text("x.test"), "type": text("A"), "value": text("fd91::1")}, "no IPv4 address"},
		{"CAA", "DnsRecord", in{"domain": text("x.test"), "type": text("CAA"), "value": text("letsencrypt.org.")}, "needs a tag"},
		{"dot", "DnsRecord", in{"domain": text("x.test"), "type": text("CNAME"), "value": text("y.test")}, "end with a dot"},
		{"bucket region", "SpacesBucket", in{"region": text("nyc1")}, "none of"},
		{"bucket name", "SpacesBucket", in{"name": text("No")}, "3 to 63"},
		{"grant", "SpacesKey", in{"grants": list(object(in{"bucket": text("x"), "permission": text("read")}))}, `bucket "x"`},
		{"environment", "Project", in{"environment": text("prod")}, "none of development"},
		{"project's resource", "Project", in{"resources": list(text("do:droplet:1"))}, "404"},
		{"target", "UptimeCheck", in{"target": text("chat")}, "no URL"},
		{"uptime region", "UptimeCheck", in{"target": text("https://x.test"), "regions": list(text("mars"))}, `"mars" is none of us_east`},
		{"comparison", "UptimeAlert", in{"checkId": text("x"), "type": text("down"), "notifications": told}, `comparison: "" is none of greater_than`},
		{"comparison of monitors", "UptimeAlert", in{"checkId": text("x"), "type": text("down"), "comparison": text("LessThan"), "notifications": told}, "none of greater_than"},
		{"compare", "MonitorAlert", alert(in{"compare": text("less_than")}), "none of GreaterThan"},
		{"alert type", "MonitorAlert", alert(in{"type": text("v1/insights/droplet/heat")}), `"v1/insights/droplet/heat" is none of`},
		{"backup plan", "Droplet", droplet("mm", in{"backups": property.New(true), "backupPolicy": object(in{"plan": text("hourly")})}), `"hourly" is none of daily`},
		{"window", "MonitorAlert", alert(in{"window": text("5 minutes")}), "none of 5m"},
		{"e-mail", "MonitorAlert", alert(in{"alerts": object(in{"emails": list(text("nobody"))})}), "no e-mail address"},
		{"nobody", "MonitorAlert", alert(in{"alerts": object(nil)}), "at least one"},
		{"engine", "DatabaseCluster", cluster(in{"engine": text("postgresql")}), "this cloud has pg"},
		{"version", "DatabaseCluster", cluster(in{"version": text("99")}), `version: "99"`},
		{"another version", "DatabaseCluster", cluster(in{"version": text("16")}), "runs PostgreSQL 17 only"},
		{"nodes", "DatabaseCluster", cluster(in{"nodeCount": property.New(9.0)}), "1 to 3"},
		{"database size", "DatabaseCluster", cluster(in{"size": text("s-1vcpu-1gb")}), "db-s-1vcpu-1gb"},
		{"hour", "DatabaseCluster", cluster(in{"maintenanceWindows": list(object(in{"day": text("monday"), "hour": text("3am")}))}), `"3am" is no time`},
		{"day", "DatabaseCluster", cluster(in{"maintenanceWindows": list(object(in{"day": text("someday"), "hour": text("03:00")}))}), `"someday" is none of`},
		{"cluster", "DatabaseUser", in{"clusterId": text("x"), "name": text("mattermost")}, "404"},
		{"database firewall", "DatabaseFirewall", in{"clusterId": text("x"), "rules": list(object(in{"type": text("host"), "value": text("1")}))}, "none of droplet"},
	} {
		t.Run(c.kind+"/"+c.name, func(t *testing.T) {
			a := newAccount(t)
			made, err := a.try(c.kind, "it", c.inputs)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("made %v, error %v; want one with %q", made.id, err, c.want)
			}
			left := a.contents()
			if len(left.Resources)+len(left.Machines)+len(a.backend.machines)+len(a.backend.volumes) != 0 {
				t.Errorf("left behind: %+v", left)
			}
		})
	}
}

// An input that is not known at preview is not judged there.
func TestUnknownInputsAreNotJudged(t *testing.T) {
	a := newAccount(t)
	checked, err := a.server.Check(p.CheckRequest{Urn: urn("Droplet", "host"), Inputs: property.NewMap(in{
		"name": text("mm"), "image": text(bootableImage), "size": property.New(property.Computed), "tags": list(property.New(property.Computed)),
	})})
	if err != nil || len(checked.Failures) > 0 {
		t.Fatal(err, checked.Failures)
	}
}

func TestRefusedChanges(t *testing.T) {
	a := newAccount(t)
	volume := a.create("Volume", "files", in{"name": text("files"), "region": text("fra1"), "size": property.New(10.0)})
	if _, err := a.tryUpdate(volume, in{"size": property.New(5.0)}); err == nil || !strings.Contains(err.Error(), "not shrunk") {
		t.Errorf("shrinking: %v", err)
	}
	one := a.create("Droplet", "one", droplet("one", in{"volumeIds": list(text(volume.id))}))
	if _, err := a.try("Droplet", "two", droplet("two", in{"volumeIds": list(text(volume.id))})); err == nil || !strings.Contains(err.Error(), "attached to droplet "+one.id) {
		t.Errorf("attaching twice: %v", err)
	}
	if _, err := a.try("Volume", "again", in{"name": text("files"), "region": text("fra1"), "size": property.New(1.0)}); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("one name twice: %v", err)
	}
}
