package infra

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

func TestDatabaseOnlyUpgrades(t *testing.T) {
	r, _ := deploy(t, nil)
	rule := r.rules["databaseVersion"]
	if rule == nil {
		t.Fatal("the cluster has no such rule")
	}
	for _, c := range []struct{ before, after, want string }{
		{"17", "16", "\"16\" is older than the cluster's PostgreSQL 17, and DigitalOcean only upgrades"},
		{"10", "9", "\"9\" is older than the cluster's PostgreSQL 10, and DigitalOcean only upgrades"},
		{"9", "10", ""},
		{"16", "17", ""},
		{"17", "17", ""},
	} {
		got := ""
		for _, p := range rule(inputs("version", c.before), inputs("version", c.after)) {
			got += quoted(p.Value) + " " + p.Wrong
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", c.before, c.after, diff)
		}
	}
	if p := rule(resource.PropertyMap{}, inputs("version", "16")); p != nil {
		t.Errorf("a cluster of unknown version: %v", p)
	}
}

func inputs(key resource.PropertyKey, value string) resource.PropertyMap {
	return resource.PropertyMap{key: resource.NewProperty(value)}
}
