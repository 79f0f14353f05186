package provider

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Every resource has exactly the inputs and outputs, of the same types, that DigitalOcean's own
// provider has: the program cannot tell the two apart.
func TestSameInterface(t *testing.T) {
	for _, c := range []struct {
		args, resource, ourArgs, ourState any
	}{
		{do.DatabaseClusterArgs{}, do.DatabaseCluster{}, DatabaseClusterArgs{}, DatabaseClusterState{}},
		{do.DatabaseDbArgs{}, do.DatabaseDb{}, DatabaseDbArgs{}, DatabaseDbState{}},
		{do.DatabaseFirewallArgs{}, do.DatabaseFirewall{}, DatabaseFirewallArgs{}, DatabaseFirewallState{}},
		{do.DatabaseUserArgs{}, do.DatabaseUser{}, DatabaseUserArgs{}, DatabaseUserState{}},
		{do.DnsRecordArgs{}, do.DnsRecord{}, DnsRecordArgs{}, DnsRecordState{}},
		{do.DomainArgs{}, do.Domain{}, DomainArgs{}, DomainState{}},
		{do.DropletArgs{}, do.Droplet{}, DropletArgs{}, DropletState{}},
		{do.FirewallArgs{}, do.Firewall{}, FirewallArgs{}, FirewallState{}},
		{do.MonitorAlertArgs{}, do.MonitorAlert{}, MonitorAlertArgs{}, MonitorAlertState{}},
		{do.ProjectArgs{}, do.Project{}, ProjectArgs{}, ProjectState{}},
		{do.ProjectResourcesArgs{}, do.ProjectResources{}, ProjectResourcesArgs{}, ProjectResourcesState{}},
		{do.ReservedIpArgs{}, do.ReservedIp{}, ReservedIpArgs{}, ReservedIpState{}},
		{do.ReservedIpAssignmentArgs{}, do.ReservedIpAssignment{}, ReservedIpAssignmentArgs{}, ReservedIpAssignmentState{}},
		{do.SpacesBucketArgs{}, do.SpacesBucket{}, SpacesBucketArgs{}, SpacesBucketState{}},
		{do.SpacesKeyArgs{}, do.SpacesKey{}, SpacesKeyArgs{}, SpacesKeyState{}},
		{do.SshKeyArgs{}, do.SshKey{}, SshKeyArgs{}, SshKeyState{}},
		{do.UptimeAlertArgs{}, do.UptimeAlert{}, UptimeAlertArgs{}, UptimeAlertState{}},
		{do.UptimeCheckArgs{}, do.UptimeCheck{}, UptimeCheckArgs{}, UptimeCheckState{}},
		{do.VolumeArgs{}, do.Volume{}, VolumeArgs{}, VolumeState{}},
		{do.VolumeAttachmentArgs{}, do.VolumeAttachment{}, VolumeAttachmentArgs{}, VolumeAttachmentState{}},
		{do.VpcArgs{}, do.Vpc{}, VpcArgs{}, VpcState{}},
	} {
		name := reflect.TypeOf(c.resource).Name()
		plain := c.args.(pulumi.Input).ElementType()
		same(t, name+" inputs", plain, reflect.TypeOf(c.ourArgs))
		same(t, name+" outputs", reflect.TypeOf(c.resource), reflect.TypeOf(c.ourState))
	}
	same(t, "getDatabaseCa", reflect.TypeOf(do.GetDatabaseCaArgs{}), reflect.TypeOf(DatabaseCaArgs{}))
}

// absent are parts of types that only engines use which this cloud does not have.
var absent = []string{"opensearchAcls"}

func same(t *testing.T, where string, theirs, ours reflect.Type) {
	t.Helper()
	want, got := properties(theirs), properties(ours)
	for name, kind := range want {
		switch found, ok := got[name]; {
		case slices.Contains(absent, name):
		case !ok:
			t.Errorf("%s: %s is missing", where, name)
		default:
			sameType(t, where+": "+name, kind, found)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: the real one has no %s", where, name)
		}
	}
}

func sameType(t *testing.T, where string, theirs, ours reflect.Type) {
	t.Helper()
	theirs, ours = indirect(theirs), indirect(ours)
	switch {
	case theirs.Kind() != ours.Kind():
		t.Errorf("%s is %s, the real one %s", where, ours, theirs)
	case theirs.Kind() == reflect.Slice:
		sameType(t, where+"[]", theirs.Elem(), ours.Elem())
	case theirs.Kind() == reflect.Struct:
		same(t, where, theirs, ours)
	}
}

// indirect is the plain type of a value that may be optional, or an output of a resource.
func indirect(kind reflect.Type) reflect.Type {
	if output, ok := reflect.Zero(kind).Interface().(pulumi.Output); ok {
		kind = output.ElementType()
	}
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	return kind
}

// properties are a struct's fields by the name that the engine knows them by.
func properties(kind reflect.Type) map[string]reflect.Type {
	found := map[string]reflect.Type{}
	for _, field := range reflect.VisibleFields(kind) {
		tag := field.Tag.Get("pulumi")
		if name, _, _ := strings.Cut(tag, ","); name != "" && field.IsExported() && !isEngines(field) {
			found[name] = field.Type
		}
	}
	return found
}

// isEngines says whether a field is one that every resource has: id and urn.
func isEngines(field reflect.StructField) bool {
	return len(field.Index) > 1 && strings.HasSuffix(field.Type.Name(), "IDOutput") || field.Type.Name() == "URNOutput"
}
