package slug

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNear(t *testing.T) {
	for _, c := range []struct {
		name  string
		names []string
		want  []string
	}{
		{"s-4vcpu-16gb-intel", Names(Droplets), []string{"s-4vcpu-16gb-320gb-intel", "s-4vcpu-16gb-amd", "s-4vcpu-8gb-intel", "s-4vcpu-8gb-240gb-intel", "s-8vcpu-16gb-intel"}},
		{"s-4vcpu-8bg", Names(Droplets), []string{"s-4vcpu-8gb", "s-4vcpu-8gb-amd", "s-4vcpu-8gb-intel", "s-4vcpu-8gb-240gb-intel", "s-4vcpu-16gb-amd"}},
		{"tiny", Names(Droplets), []string{"s-4vcpu-8gb", "s-4vcpu-8gb-amd", "s-4vcpu-8gb-intel", "s-4vcpu-8gb-240gb-intel", "c2-4vcpu-8gb"}},
		{"frankfurt", Names(Regions), []string{"fra1", "ams3", "atl1", "blr1", "lon1"}},
		{"x", []string{"a"}, []string{"a"}},
	} {
		if diff := cmp.Diff(c.want, Near(c.name, "s-4vcpu-8gb", c.names)); diff != "" {
			t.Errorf("near %s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestDatabase(t *testing.T) {
	// Source: https://docs.digitalocean.com/products/databases/postgresql/details/limits/
	for slug, want := range map[string]int{
		"db-s-1vcpu-1gb": 22, "db-s-1vcpu-2gb": 47, "db-s-2vcpu-4gb": 97, "db-s-4vcpu-8gb": 197, "db-s-6vcpu-16gb": 397,
		"db-s-8vcpu-32gb": 797, "db-s-16vcpu-64gb": 997, "db-amd-2vcpu-8gb": 197, "gd-40vcpu-160gb": 997, "so1_5-2vcpu-16gb": 397,
	} {
		plan, ok := Databases[slug]
		if !ok || plan.Connections() != want {
			t.Errorf("%s (known: %v) has %d connections, want %d", slug, ok, plan.Connections(), want)
		}
	}
	if one, two := Databases["db-intel-1vcpu-1gb"].Nodes(), Databases["db-s-1vcpu-2gb"].Nodes(); one != 1 || two != 3 {
		t.Errorf("at most %d nodes of 1 GiB and %d of 2 GiB, want 1 and 3", one, two)
	}
}

func TestRegions(t *testing.T) {
	for region, spaces := range Regions {
		if !slices.Contains(SpacesRegions, spaces) {
			t.Errorf("the Spaces region of %s, %s, is not one", region, spaces)
		}
		if slices.Contains(SpacesRegions, region) && spaces != region {
			t.Errorf("the Spaces region of %s is %s, though it has one of its own", region, spaces)
		}
	}
}
