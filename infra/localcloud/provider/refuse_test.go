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
		{"size", "Droplet", droplet("mm", in{"size": text("s-4vcpu-8bg")}), `invalid size for Droplet creation: "s-4vcpu-8bg"`},
		{"size that is no more", "Droplet", droplet("mm", in{"size": text("s-8vcpu-32gb")}), `invalid size for Droplet creation: "s-8vcpu-32gb"`},
		{"size that never was", "Droplet", droplet("mm", in{"size": text("s-4vcpu-16gb-intel")}), `invalid size for Droplet creation: "s-4vcpu-16gb-intel"`},
		{"GPU", "Droplet", droplet("mm", in{"size": text("gpu-h100x1-80gb")}), `invalid size for Droplet creation`},
		{"image", "Droplet", droplet("mm", in{"image": text("debian-31-x64")}), `invalid image for Droplet creation: "debian-31-x64"`},
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
		{"backup plan", "Droplet", droplet("mm", in{"backups": property.New(true), "backupPolicy": object(in{"plan": text("hourly")})}), `"hourly" is not one of daily, weekly`},
		{"backup hour", "Droplet", droplet("mm", in{"backups": property.New(true), "backupPolicy": object(in{"plan": text("daily"), "hour": property.New(21.0)})}), "range (0 - 20)"},
		{"range", "Vpc", in{"region": text("fra1"), "ipRange": text("10.0.0.0")}, "no network"},
		{"range too large", "Vpc", in{"region": text("fra1"), "ipRange": text("10.0.0.0/8")}, "between /16 and /28"},
		{"key's name", "SshKey", in{"name": text(""), "publicKey": text(testKey)}, "must not be empty"},
		{"no public key", "SshKey", in{"publicKey": text("")}, "must not be empty"},
		{"public key", "SshKey", in{"publicKey": text("ssh-ed25519 nonsense")}, "Key invalid"},
		{"volume name", "Volume", in{"name": text("1files"), "region": text("fra1"), "size": property.New(1.0)}, "beginning with a letter"},
		{"volume size", "Volume", in{"name": text("files"), "region": text("fra1"), "size": property.New(0.0)}, "at least 1 GiB"},
		{"file system", "Volume", in{"region": text("fra1"), "size": property.New(1.0), "initialFilesystemType": text("zfs")}, "not one of ext4, xfs"},
		{"no rules", "Firewall", in{"name": text("wall")}, "at least one rule"},
		{"protocol", "Firewall", in{"inboundRules": rule("sctp", "1", "::/0")}, "not one of tcp, udp, icmp"},
		{"no port", "Firewall", in{"inboundRules": rule("tcp", "", "::/0")}, "portRange is required"},
		{"port", "Firewall", in{"inboundRules": rule("tcp", "99999", "::/0")}, `"99999" is no port`},
		{"source", "Firewall", in{"inboundRules": rule("tcp", "22", "home")}, `"home" is no address`},
		{"droplet", "Firewall", in{"inboundRules": rule("tcp", "22", "::/0"), "dropletIds": list(property.New(7.0))}, "droplet 7: 404"},
		{"domain", "Domain", in{"name": text("not a domain")}, "not a valid domain"},
		{"zone", "DnsRecord", in{"domain": text("nowhere.test"), "type": text("A"), "value": text("10.0.0.1")}, "404"},
		{"type", "DnsRecord", in{"domain": text("x.test"), "type": text("B"), "value": text("10.0.0.1")}, "not one of A, AAAA"},
		{"address", "DnsRecord", in{"domain": text("x.test"), "type": text("A"), "value": text("fd91::1")}, "no IPv4 address"},
		{"CAA", "DnsRecord", in{"domain": text("x.test"), "type": text("CAA"), "value": text("letsencrypt.org.")}, "needs a tag"},
		{"dot", "DnsRecord", in{"domain": text("x.test"), "type": text("CNAME"), "value": text("y.test")}, "end with a dot"},
		{"bucket region", "SpacesBucket", in{"region": text("nyc1")}, "not one of"},
		{"bucket name", "SpacesBucket", in{"name": text("No")}, "3 to 63"},
		{"grant", "SpacesKey", in{"grants": list(object(in{"bucket": text("x"), "permission": text("read")}))}, `bucket "x"`},
		{"environment", "Project", in{"environment": text("prod")}, "not one of development"},
		{"project's resource", "Project", in{"resources": list(text("do:droplet:1"))}, "404"},
		{"target", "UptimeCheck", in{"target": text("chat")}, "no URL"},
		{"uptime region", "UptimeCheck", in{"target": text("https://x.test"), "regions": list(text("mars"))}, `"mars" is not one of us_east`},
		{"comparison", "UptimeAlert", in{"checkId": text("x"), "type": text("down"), "notifications": told}, `comparison: "" is not one of greater_than`},
		{"comparison of monitors", "UptimeAlert", in{"checkId": text("x"), "type": text("down"), "comparison": text("LessThan"), "notifications": told}, "not one of greater_than"},
		{"compare", "MonitorAlert", alert(in{"compare": text("less_than")}), "not one of GreaterThan"},
		{"alert type", "MonitorAlert", alert(in{"type": text("v1/insights/droplet/heat")}), `"v1/insights/droplet/heat" is not one of`},
		{"window", "MonitorAlert", alert(in{"window": text("5 minutes")}), "not one of 5m"},
		{"e-mail", "MonitorAlert", alert(in{"alerts": object(in{"emails": list(text("nobody"))})}), "no e-mail address"},
		{"nobody", "MonitorAlert", alert(in{"alerts": object(nil)}), "at least one"},
		{"engine", "DatabaseCluster", cluster(in{"engine": text("postgresql")}), "this cloud has pg"},
		{"version", "DatabaseCluster", cluster(in{"version": text("99")}), `invalid version for engine pg: "99"`},
		{"another version", "DatabaseCluster", cluster(in{"version": text("16")}), "runs PostgreSQL 17 only"},
		{"old version", "DatabaseCluster", cluster(in{"version": text("14")}), `invalid version for engine pg: "14"`},
		{"new version", "DatabaseCluster", cluster(in{"version": text("18")}), `invalid version for engine pg: "18"`},
		{"nodes", "DatabaseCluster", cluster(in{"size": text("gd-2vcpu-8gb"), "nodeCount": property.New(9.0)}), "1 to 3"},
		{"standby of the smallest", "DatabaseCluster", cluster(in{"nodeCount": property.New(2.0)}), "invalid node count of db-s-1vcpu-1gb: 2; 1 to 1"},
		{"database size", "DatabaseCluster", cluster(in{"size": text("s-1vcpu-1gb")}), `invalid size: "s-1vcpu-1gb"`},
		{"hour", "DatabaseCluster", cluster(in{"maintenanceWindows": list(object(in{"day": text("monday"), "hour": text("3am")}))}), `"3am" is no time`},
		{"day", "DatabaseCluster", cluster(in{"maintenanceWindows": list(object(in{"day": text("someday"), "hour": text("03:00")}))}), `"someday" is not one of`},
		{"cluster", "DatabaseUser", in{"clusterId": text("x"), "name": text("mattermost")}, "404"},
		{"database firewall", "DatabaseFirewall", in{"clusterId": text("x"), "rules": list(object(in{"type": text("host"), "value": text("1")}))}, "not one of droplet"},
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

// Without a token the provider starts, and every request is refused.
func TestNoToken(t *testing.T) {
	t.Setenv("DIGITALOCEAN_TOKEN", "")
	t.Setenv("DIGITALOCEAN_ACCESS_TOKEN", "")
	zone := in{"name": text("townsquare.test")}
	if _, err := configured(t, in{"cloud": text("unit")}).try("Domain", "zone", zone); err == nil || !strings.Contains(err.Error(), "401: Unable to authenticate you") {
		t.Errorf("without a token: %v", err)
	}
	t.Setenv("DIGITALOCEAN_ACCESS_TOKEN", "t")
	configured(t, in{"cloud": text("unit")}).create("Domain", "zone", zone)
}

// A key is once in an account, under any name and with any comment.
func TestKeyIsOnceInAnAccount(t *testing.T) {
	a := newAccount(t)
	const inUse = "SSH Key is already in use on your account"
	key := a.create("SshKey", "mine", in{"name": text("mine"), "publicKey": text(testKey)})
	if _, err := a.try("SshKey", "yours", in{"name": text("yours"), "publicKey": text(testKey + " with a comment")}); err == nil || !strings.Contains(err.Error(), inUse) {
		t.Errorf("the same key again: %v", err)
	}
	if diff, _ := a.diff(key, in{"publicKey": text(testKey + " with a comment")}); !replaces(diff) {
		t.Errorf("another comment is a change in place: %+v", diff)
	}
	a.update(key, in{"name": text("ours")})
	a.delete(key)
	a.create("SshKey", "yours", in{"name": text("yours"), "publicKey": text(testKey)})
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
	smaller := volume.inputs.Set("size", property.New(5.0))
	if _, err := a.server.Diff(p.DiffRequest{ID: volume.id, Urn: urn("Volume", "files"), State: volume.state, OldInputs: volume.inputs, Inputs: smaller}); err == nil || !strings.Contains(err.Error(), "not shrunk") {
		t.Errorf("shrinking, at preview: %v", err)
	}
	one := a.create("Droplet", "one", droplet("one", in{"volumeIds": list(text(volume.id))}))
	if _, err := a.try("Droplet", "two", droplet("two", in{"volumeIds": list(text(volume.id))})); err == nil || !strings.Contains(err.Error(), "volume is already attached to another droplet: files is at "+one.id) {
		t.Errorf("attaching twice: %v", err)
	}
	if err := a.tryDelete(volume); err == nil || !strings.Contains(err.Error(), "409: attached volume cannot be deleted") {
		t.Errorf("deleting what is attached: %v", err)
	}
	if _, err := a.try("Volume", "again", in{"name": text("files"), "region": text("fra1"), "size": property.New(1.0)}); err == nil || !strings.Contains(err.Error(), "409: already exists") {
		t.Errorf("one name twice: %v", err)
	}
}

// A resize cuts the power, leaves the disk as it is, and is refused where the disk would shrink. After a
// refusal the record has the new size, as with the real provider, until a refresh.
func TestResize(t *testing.T) {
	a := newAccount(t)
	host := a.create("Droplet", "host", droplet("mm", in{"size": text("s-4vcpu-8gb"), "resizeDisk": property.New(false)}))
	size := func(of property.Map) string { return of.Get("size").AsString() }
	refused, err := a.tryUpdate(host, in{"size": text("g-4vcpu-16gb")})
	if err == nil || !strings.Contains(err.Error(), "smaller disk") {
		t.Fatalf("a smaller disk: %v", err)
	}
	if size(refused.state) != "g-4vcpu-16gb" || a.backend.machines["mm"].spec.MemoryMB != 8192 || a.backend.machines["mm"].powerCuts != 1 {
		t.Errorf("after the refusal: %v, %+v", refused.state.Get("size"), a.backend.machines["mm"])
	}
	if read := a.read(refused); size(read.Inputs) != "s-4vcpu-8gb" || size(read.Properties) != "s-4vcpu-8gb" {
		t.Errorf("refresh: %v %v", read.Inputs, read.Properties)
	}
	larger := a.update(host, in{"size": text("s-8vcpu-16gb")})
	if disk := larger.state.Get("disk").AsNumber(); disk != 160 || a.backend.machines["mm"].spec.MemoryMB != 16384 {
		t.Errorf("disk %v GB, %+v", disk, a.backend.machines["mm"])
	}
	if back := a.update(larger, in{"size": text("s-4vcpu-8gb")}); size(back.state) != "s-4vcpu-8gb" {
		t.Errorf("back: %v", back.state)
	}
}

// A cluster neither becomes older nor smaller; the API says so when it is asked to.
func TestRefusedChangesOfACluster(t *testing.T) {
	a := newAccount(t)
	cluster := a.create("DatabaseCluster", "db", in{
		"name": text("chat"), "engine": text("pg"), "version": text("17"), "size": text("gd-2vcpu-8gb"), "region": text("ric1"), "nodeCount": property.New(1.0),
	})
	for _, c := range []struct {
		change in
		want   string
	}{
		{in{"version": text("16")}, "422: error upgrading version for database cluster"},
		{in{"size": text("db-s-2vcpu-4gb")}, "422: error resizing database cluster: db-s-2vcpu-4gb is smaller than gd-2vcpu-8gb"},
		{in{"size": text("db-s-9vcpu-99gb")}, `422: invalid size: "db-s-9vcpu-99gb"`},
	} {
		if _, err := a.tryUpdate(cluster, c.change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.change, err, c.want)
		}
	}
	if memory := a.backend.machines["db-chat"].spec.MemoryMB; memory != 8192 {
		t.Errorf("after what was refused the cluster has %d MiB", memory)
	}
}
