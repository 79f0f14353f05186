package provider

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKv9Ck8L3v0ZcW2yD2fYq0f0jM1kq5m1o5eWcXo0pF3d someone"

func droplet(name string, more in) in {
	inputs := in{
		"name": text(name), "image": text("debian-13-x64"), "size": text("s-4vcpu-8gb"), "region": text("fra1"), "ipv6": property.New(true),
	}
	maps.Copy(inputs, more)
	return inputs
}

func number(t *testing.T, id string) property.Value {
	t.Helper()
	n, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	return property.New(float64(n))
}

// A whole stack, made, changed and removed, leaves an empty inventory and an empty cloud.
func TestLifecycle(t *testing.T) {
	a := newAccount(t)
	vpc := a.create("Vpc", "net", in{"region": text("fra1"), "name": text("mm"), "ipRange": text("10.10.0.0/24")})
	key := a.create("SshKey", "key", in{"name": text("ops"), "publicKey": text(testKey)})
	volume := a.create("Volume", "files", in{"name": text("mm-files"), "region": text("fra1"), "size": property.New(10.0), "initialFilesystemType": text("ext4")})
	host := a.create("Droplet", "host", droplet("mm", in{
		"vpcUuid": text(vpc.id), "sshKeys": list(text(key.id)), "volumeIds": list(text(volume.id)), "userData": text("#cloud-config\n"),
		"tags": list(text("mattermost")),
	}))
	machine := a.backend.machines["mm"]
	if machine == nil || machine.spec.MemoryMB != 8192 || !slices.Equal(machine.volumes, []string{"mm-files"}) ||
		len(machine.spec.PublicKeys) != 1 || machine.spec.InstanceID != host.id {
		t.Fatalf("machine: %+v", machine)
	}
	if got := host.state.Get("ipv4Address").AsString(); got != "10.91.0.10" {
		t.Errorf("ipv4Address = %s", got)
	}
	if got := host.state.Get("dropletUrn").AsString(); got != "do:droplet:"+host.id {
		t.Errorf("dropletUrn = %s", got)
	}

	address := a.create("ReservedIp", "ip", in{"region": text("fra1")})
	assigned := a.create("ReservedIpAssignment", "ip", in{"ipAddress": address.state.Get("ipAddress"), "dropletId": number(t, host.id)})
	if got := a.backend.network.Reserved[netip.MustParseAddr(address.id)]; got != "mm" {
		t.Errorf("reserved address points at %q", got)
	}

	web := object(in{"protocol": text("tcp"), "portRange": text("443"), "sourceAddresses": list(text("0.0.0.0/0"), text("::/0"))})
	wall := a.create("Firewall", "wall", in{"name": text("mm"), "dropletIds": list(number(t, host.id)), "inboundRules": list(web)})
	if rules := a.backend.network.Firewalls["mm"]; len(rules.Inbound) != 1 || rules.Inbound[0].Ports != "443" || len(rules.Inbound[0].Peers) != 2 {
		t.Errorf("firewall: %+v", rules)
	}
	admin := object(in{"protocol": text("tcp"), "portRange": text("22"), "sourceAddresses": list(text("192.0.2.1"))})
	wall = a.update(wall, in{"inboundRules": list(web, admin)})
	if rules := a.backend.network.Firewalls["mm"]; len(rules.Inbound) != 2 || rules.Inbound[1].Peers[0].Bits() != 32 {
		t.Errorf("firewall after update: %+v", rules)
	}

	zone := a.create("Domain", "zone", in{"name": text("townsquare.test")})
	record := a.create("DnsRecord", "chat", in{"domain": text(zone.id), "type": text("A"), "name": text("chat"), "value": text(address.id)})
	record = a.update(record, in{"ttl": property.New(60.0)})
	if got := a.backend.network.Records; len(got) != 1 || got[0].Name != "chat.townsquare.test" || got[0].TTL != 60 {
		t.Errorf("records: %+v", got)
	}
	project := a.create("Project", "project", in{"name": text("mm"), "environment": text("Production"), "resources": list(text("do:droplet:"+host.id), volume.state.Get("volumeUrn"))})
	check := a.create("UptimeCheck", "up", in{"name": text("up"), "target": text("https://chat.townsquare.test"), "type": text("https")})
	alert := a.create("UptimeAlert", "down", in{"checkId": text(check.id), "type": text("down"), "comparison": text("less_than"), "notifications": list(object(in{"emails": list(text("a@b.example"))}))})
	cpu := a.create("MonitorAlert", "cpu", in{
		"alerts": object(in{"emails": list(text("a@b.example"))}), "compare": text("GreaterThan"), "description": text("cpu"), "type": text("v1/insights/droplet/cpu"),
		"value": property.New(90.0), "window": text("5m"), "entities": list(text(host.id)),
	})

	host = a.update(host, in{"size": text("s-8vcpu-16gb"), "tags": list()})
	if machine.spec.MemoryMB != 16384 || host.state.Get("memory").AsNumber() != 16384 {
		t.Errorf("memory after resize: %d, %v", machine.spec.MemoryMB, host.state.Get("memory"))
	}
	volume = a.update(volume, in{"size": property.New(20.0)})
	if a.backend.volumes["mm-files"] != 20 || volume.state.Get("dropletIds").AsArray().Len() != 1 {
		t.Errorf("volume after growth: %v", volume.state)
	}

	everything := []thing{cpu, alert, check, project, record, zone, wall, assigned, address, host, volume, key, vpc}
	for _, made := range everything {
		if got := a.read(made); got.ID != made.id {
			t.Errorf("read %s %s: %q", made.kind, made.id, got.ID)
		}
		if diff, _ := a.diff(made, nil); diff.HasChanges {
			t.Errorf("%s changes by itself: %+v", made.kind, diff)
		}
	}
	for _, made := range everything {
		a.delete(made)
		if got := a.read(made); got.ID != "" {
			t.Errorf("%s is still there", made.kind)
		}
	}
	left := a.contents()
	if len(left.Resources)+len(left.Machines)+len(a.backend.machines)+len(a.backend.volumes)+len(a.backend.network.Records)+len(a.backend.network.Firewalls)+len(a.backend.network.Reserved) != 0 {
		t.Errorf("left behind: %+v %+v", left, a.backend)
	}
}

func TestTwoDropletsSideBySide(t *testing.T) {
	a := newAccount(t)
	one, two := a.create("Droplet", "a", droplet("mm", nil)), a.create("Droplet", "b", droplet("mm", nil))
	if one.id == two.id || len(a.backend.machines) != 2 {
		t.Fatalf("%s %s: %v", one.id, two.id, slices.Sorted(maps.Keys(a.backend.machines)))
	}
	a.delete(one)
	if got := a.read(two); got.ID != two.id || len(a.backend.machines) != 1 {
		t.Errorf("deleting one took the other: %v", a.backend.machines)
	}
}

func TestReplacement(t *testing.T) {
	a := newAccount(t)
	key := a.create("SshKey", "key", in{"publicKey": text(testKey)})
	host := a.create("Droplet", "host", droplet("mm", in{"userData": text("one"), "sshKeys": list(text(key.id))}))
	for name, changes := range map[string]in{
		"userData":   {"userData": text("two")},
		"image":      {"image": text("debian-12-x64")},
		"sshKeys":    {"sshKeys": list(text("other"))},
		"more keys":  {"sshKeys": list(text(key.id), text("other"))},
		"region":     {"region": text("ams3")},
		"monitoring": {"monitoring": property.New(true)},
	} {
		if diff, _ := a.diff(host, changes); !replaces(diff) || !diff.DeleteBeforeReplace {
			t.Errorf("%s: want a replacement, the old one first: %+v", name, diff)
		}
	}
	for name, changes := range map[string]in{
		"size": {"size": text("s-8vcpu-16gb")}, "name": {"name": text("other")}, "tags": {"tags": list(text("x"))},
		"backups": {"backups": property.New(true)}, "volumes": {"volumeIds": list(text("x"))},
	} {
		if diff, _ := a.diff(host, changes); replaces(diff) || !diff.HasChanges {
			t.Errorf("%s: want a change in place: %+v", name, diff)
		}
	}
}

// A preview of a change knows what the change leaves alone.
func TestPreviewOfAnUpdate(t *testing.T) {
	a := newAccount(t)
	host := a.create("Droplet", "host", droplet("mm", nil))
	resp, err := a.server.Update(p.UpdateRequest{
		ID: host.id, Urn: urn("Droplet", "host"), State: host.state, OldInputs: host.inputs,
		Inputs: host.inputs.Set("tags", list(text("x"))), DryRun: true,
	})
	if err != nil || !resp.Properties.Get("ipv4Address").Equals(host.state.Get("ipv4Address")) || resp.Properties.Get("tags").AsArray().Len() != 1 {
		t.Errorf("preview: %v, %v", resp.Properties, err)
	}
	if a.backend.machines["mm"] == nil || a.read(host).Properties.Get("tags").IsArray() {
		t.Error("a preview changed the cloud")
	}
}

func TestNamesAreMadeUpOnce(t *testing.T) {
	a := newAccount(t)
	vpc := a.create("Vpc", "net", in{"region": text("fra1")})
	name := vpc.inputs.Get("name").AsString()
	if !strings.HasPrefix(name, "net-") || len(name) != len("net-")+7 {
		t.Errorf("name = %q", name)
	}
	checked, err := a.server.Check(p.CheckRequest{Urn: urn("Vpc", "net"), State: vpc.inputs, Inputs: property.NewMap(in{"region": text("fra1")})})
	if err != nil || checked.Inputs.Get("name").AsString() != name {
		t.Errorf("second name = %v, %v", checked.Inputs.Get("name"), err)
	}
}

// A machine that does not come up leaves nothing behind, and its volume free.
func TestFailedDroplet(t *testing.T) {
	a := newAccount(t)
	volume := a.create("Volume", "files", in{"name": text("files"), "region": text("fra1"), "size": property.New(1.0)})
	for _, step := range []string{"CreateMachine", "ApplyNetwork"} {
		a.backend.fail = map[string]error{step: errors.New("boom")}
		if _, err := a.try("Droplet", "host", droplet("mm", in{"volumeIds": list(text(volume.id))})); err == nil || !strings.Contains(err.Error(), "boom") {
			t.Fatalf("%s: %v", step, err)
		}
		a.backend.fail = nil
		if len(a.backend.machines) != 0 {
			t.Errorf("%s: left %v", step, a.backend.machines)
		}
	}
	a.create("Droplet", "host", droplet("mm", in{"volumeIds": list(text(volume.id))}))
}

// An engine that was killed while a machine booted leaves one that nobody knows of.
func TestSweep(t *testing.T) {
	a := newAccount(t)
	kept := a.create("Droplet", "kept", droplet("kept", nil))
	volume := a.create("Volume", "files", in{"name": text("files"), "region": text("fra1"), "size": property.New(1.0)})
	err := a.cloud.change(func(c *Contents) error {
		c.Machines["7"] = Placement{Machine: "half"}
		_, err := c.claimVolumes("7", []string{volume.id})
		return err
	})
	a.backend.machines["half"] = &fakeMachine{status: "active"}
	if err := errors.Join(err, Sweep(t.Context(), a.cloud)); err != nil {
		t.Fatal(err)
	}
	if a.backend.machines["half"] != nil || a.backend.machines["kept"] == nil || a.read(kept).ID == "" || len(a.contents().Machines) != 1 {
		t.Errorf("swept: %v %v", a.backend.machines, a.contents().Machines)
	}
	a.create("Droplet", "host", droplet("half", in{"volumeIds": list(text(volume.id))}))
}

func TestRefresh(t *testing.T) {
	a := newAccount(t)
	host := a.create("Droplet", "host", droplet("mm", nil))
	a.backend.machines["mm"].status = "off"
	if got := a.read(host); got.Properties.Get("status").AsString() != "off" {
		t.Errorf("status = %v", got.Properties.Get("status"))
	}
	delete(a.backend.machines, "mm")
	if got := a.read(host); got.ID != "" {
		t.Errorf("a droplet without a machine is still %s", got.ID)
	}
	imported, err := a.server.Read(p.ReadRequest{ID: a.create("Vpc", "net", in{"region": text("fra1"), "name": text("n")}).id, Urn: urn("Vpc", "net")})
	if err != nil || imported.Inputs.Get("region").AsString() != "fra1" {
		t.Errorf("import: %v %v", imported, err)
	}
}

// What was deleted in the control panel is gone at the next refresh, and can be made anew.
func TestLose(t *testing.T) {
	a := newAccount(t)
	volume := a.create("Volume", "files", in{"name": text("files"), "region": text("fra1"), "size": property.New(1.0)})
	host := a.create("Droplet", "host", droplet("mm", in{"volumeIds": list(text(volume.id))}))
	other := a.create("Droplet", "other", droplet("other", nil))
	bucket := a.create("SpacesBucket", "bucket", in{"name": text("backups"), "region": text("fra1")})
	for _, what := range []string{LoseServer, LoseDroplet, LoseDatabase, LoseBucket, "anything"} {
		if err := Lose(t.Context(), a.cloud, what, "none"); err == nil {
			t.Errorf("a %s that does not exist was deleted", what)
		}
	}
	if err := Lose(t.Context(), a.cloud, LoseDroplet, "mm"); err != nil {
		t.Fatal(err)
	}
	if a.read(host).ID != "" || a.read(volume).ID == "" {
		t.Errorf("left without the droplet: %v %v", a.backend.machines, a.backend.volumes)
	}
	host = a.create("Droplet", "host", droplet("mm", in{"volumeIds": list(text(volume.id))}))
	if err := Lose(t.Context(), a.cloud, LoseServer, "mm"); err != nil {
		t.Fatal(err)
	}
	if a.read(host).ID != "" || a.read(volume).ID != "" || a.read(other).ID == "" || len(a.backend.machines) != 1 || len(a.backend.volumes) != 0 {
		t.Errorf("left: %v %v", a.backend.machines, a.backend.volumes)
	}
	if err := Lose(t.Context(), a.cloud, LoseBucket, "backups"); err != nil {
		t.Fatal(err)
	}
	if a.read(bucket).ID != "" || len(a.backend.buckets) != 0 {
		t.Errorf("left: %v", a.backend.buckets)
	}
	volume = a.create("Volume", "files", in{"name": text("files"), "region": text("fra1"), "size": property.New(1.0)})
	a.create("Droplet", "host", droplet("mm", in{"volumeIds": list(text(volume.id))}))
	a.create("SpacesBucket", "bucket", in{"name": text("backups"), "region": text("fra1")})
}

func TestInventoryIsPrivate(t *testing.T) {
	a := newAccount(t)
	a.create("SpacesKey", "key", in{"name": text("k")})
	info, err := os.Stat(a.cloud.inventory.file())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	data, _ := os.ReadFile(a.cloud.inventory.file())
	if !json.Valid(data) || !strings.Contains(string(data), `"townsquare/cloud-inventory"`) {
		t.Errorf("inventory: %s", data)
	}
}
