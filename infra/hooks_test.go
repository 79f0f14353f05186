package infra

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

func TestDatabaseOnlyGrows(t *testing.T) {
	r, _ := deploy(t, nil)
	rule := r.rules["database"]
	if rule == nil {
		t.Fatal("the cluster has no rules")
	}
	for _, c := range []struct {
		before, after, want string
		input               resource.PropertyKey
	}{
		{"17", "16", "\"16\" is older than the cluster's PostgreSQL 17, and DigitalOcean only upgrades", "version"},
		{"10", "9", "\"9\" is older than the cluster's PostgreSQL 10, and DigitalOcean only upgrades", "version"},
		{"9", "10", "", "version"},
		{"16", "17", "", "version"},
		{"17", "17", "", "version"},
		{"gd-2vcpu-8gb", "db-s-2vcpu-4gb", "\"db-s-2vcpu-4gb\" has less memory than the cluster's gd-2vcpu-8gb, and DigitalOcean does not make a cluster smaller", "size"},
		{"db-s-1vcpu-2gb", "db-amd-2vcpu-4gb", "", "size"},
		{"db-s-4vcpu-8gb", "gd-2vcpu-8gb", "", "size"},
		{"db-of-old", "db-s-1vcpu-2gb", "", "size"},
	} {
		got := ""
		for _, p := range rule(inputs(c.input, c.before), inputs(c.input, c.after)) {
			got += quoted(p.Value) + " " + p.Wrong
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", c.before, c.after, diff)
		}
		if p := rule(resource.PropertyMap{}, inputs(c.input, c.after)); p != nil {
			t.Errorf("a cluster whose %s is not known: %v", c.input, p)
		}
	}
}

func inputs(key resource.PropertyKey, value string) resource.PropertyMap {
	return resource.PropertyMap{key: resource.NewProperty(value)}
}
