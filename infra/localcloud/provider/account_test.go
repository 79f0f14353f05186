package provider

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// A project lists a reserved address by the name that it had before, and never moves one without its
// droplet.
func TestProjectWithReservedAddress(t *testing.T) {
	a := newAccount(t)
	host := a.create("Droplet", "host", droplet("mm", nil))
	address := a.create("ReservedIp", "ip", in{"region": text("fra1")})
	assigned := a.create("ReservedIpAssignment", "ip", in{"ipAddress": text(address.id), "dropletId": number(t, host.id)})
	server, reserved, floating := text("do:droplet:"+host.id), text("do:reservedip:"+address.id), text("do:floatingip:"+address.id)
	project := a.create("Project", "p", in{"name": text("p"), "resources": list(server, reserved)})

	found := a.read(project)
	if got := found.Inputs.Get("resources"); !got.Equals(list(server, floating)) {
		t.Errorf("a refresh finds %v", got)
	}
	project.inputs, project.state = found.Inputs, found.Properties
	for name, resources := range map[string]property.Value{"another name": list(server, reserved), "without its droplet": list(server)} {
		if _, err := a.tryUpdate(project, in{"resources": resources}); err == nil || !strings.Contains(err.Error(), "412: Cannot move a Reserved IP") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.try("Project", "q", in{"name": text("q"), "resources": list(floating)}); err == nil || !strings.Contains(err.Error(), "412") {
		t.Errorf("into another project: %v", err)
	}
	a.update(project, in{"resources": list()})

	a.delete(assigned)
	a.delete(a.create("Project", "q", in{"name": text("q"), "resources": list(floating)}))
}

func TestRefreshFindsWhatWasChanged(t *testing.T) {
	a := newAccount(t)
	a.create("Domain", "zone", in{"name": text("townsquare.test")})
	record := a.create("DnsRecord", "chat", in{"domain": text("townsquare.test"), "type": text("A"), "name": text("chat"), "value": text("10.91.1.1")})
	err := a.cloud.change(func(c *Contents) error {
		var state DnsRecordState
		if err := c.get("DnsRecord", record.id, &state); err != nil {
			return err
		}
		state.Value = "10.91.1.2"
		return c.put("DnsRecord", record.id, state)
	})
	if err != nil {
		t.Fatal(err)
	}
	found := a.read(record).Inputs
	if got := found.Get("value"); got.AsString() != "10.91.1.2" {
		t.Errorf("a refresh finds the value %v", got)
	}
	if got := found.Get("ttl"); !got.IsNull() {
		t.Errorf("a refresh finds a ttl that the program has not set: %v", got)
	}
}

// The first VPC of a region stays for good, the next one does not.
func TestDefaultVpc(t *testing.T) {
	a := newAccount(t)
	if err := a.cloud.change(func(c *Contents) error { c.NewRegions = []string{"fra1"}; return nil }); err != nil {
		t.Fatal(err)
	}
	first, second := a.create("Vpc", "one", in{"region": text("fra1")}), a.create("Vpc", "two", in{"region": text("fra1")})
	if !first.state.Get("default").AsBool() || second.state.Get("default").AsBool() {
		t.Errorf("defaults: %v, %v", first.state, second.state)
	}
	if err := a.tryDelete(first); err == nil || !strings.Contains(err.Error(), "403: Can not delete default VPCs") {
		t.Errorf("deleting the default VPC: %v", err)
	}
	a.delete(second)
}

// DigitalOcean's provider ends when it is to unassign an address that is assigned to nothing.
func TestUnassigned(t *testing.T) {
	a := newAccount(t)
	host := a.create("Droplet", "host", droplet("mm", nil))
	address := a.create("ReservedIp", "ip", in{"region": text("fra1")})
	assigned := a.create("ReservedIpAssignment", "ip", in{"ipAddress": text(address.id), "dropletId": number(t, host.id)})
	a.delete(host)
	if err := a.tryDelete(assigned); err == nil || !strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("unassigning nothing: %v", err)
	}
	if got := a.read(assigned); got.ID != "" {
		t.Errorf("a refresh still finds %s", got.ID)
	}
}

// Another name of a bucket is a change in place that renames nothing.
func TestBucketKeepsItsName(t *testing.T) {
	a := newAccount(t)
	bucket := a.create("SpacesBucket", "b", in{"name": text("backups"), "region": text("fra1")})
	bucket = a.update(bucket, in{"name": text("other")})
	if a.backend.buckets["backups"] == nil || a.backend.buckets["other"] != nil || bucket.id != "backups" {
		t.Errorf("renamed: %v, id %s", a.backend.buckets, bucket.id)
	}
	if got := bucket.state.Get("bucketUrn").AsString(); got != "do:space:other" {
		t.Errorf("its URN is %s", got)
	}
	if diff, _ := a.diff(bucket, in{"region": text("ams3")}); !replaces(diff) {
		t.Errorf("another region: %+v", diff)
	}
}
