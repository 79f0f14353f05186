package infra

import (
	"errors"
	"strings"
	"testing"

	"townsquare/infra/slug"
)

func TestSizesAndPlans(t *testing.T) {
	for key, values := range map[string][]string{
		"size": {
			"s-4vcpu-16gb-320gb-intel", "s-8vcpu-32gb-640gb-intel", "s-4vcpu-8gb-240gb-intel", "s-8vcpu-16gb-480gb-intel",
			"g-2vcpu-8gb-intel", "gd-4vcpu-16gb-intel", "m-2vcpu-16gb-intel", "c-4-intel", "c2-4vcpu-8gb", "m-32vcpu-256gb", "so1_5-2vcpu-16gb",
		},
		"databaseSize": {"db-amd-2vcpu-4gb", "db-intel-1vcpu-1gb", "gd-2vcpu-8gb", "so1_5-2vcpu-16gb"},
		"region":       {"ric1"},
		"backupRegion": {"atl1"},
	} {
		for _, v := range values {
			testConfig(t, map[string]string{"townsquare:" + key: v})
		}
	}
	for key, wrong := range map[string]map[string]string{
		"size": {
			"s-4vcpu-16gb-intel": "such as s-4vcpu-16gb-320gb-intel, ", "s-8vcpu-32gb-intel": "such as s-8vcpu-32gb-640gb-intel, ",
			"s-2vcpu-4gb": "has too little memory", "gpu-h100x1-80gb": "is not known", "16gb": "is not known", "s-8vcpu-32gb": "is not known",
		},
		"databaseSize": {"db-s-4vcpu-16gb": ", db-amd-4vcpu-16gb, ", "s-4vcpu-8gb": "such as db-s-4vcpu-8gb, ", "gd-2vcpu-8gb-intel": "such as gd-2vcpu-8gb, "},
	} {
		for v, want := range wrong {
			_, err := parse(testSource(settings(t, map[string]string{"townsquare:" + key: v})), "prod")
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), want) || len(problems[0].Allowed) > 240 {
				t.Errorf("%s: %s: got %v\nwant one problem with: %s", key, v, err, want)
			}
		}
	}
}

// The database on the server is tuned for the memory that the size has.
func TestMemoryComesFromTheSize(t *testing.T) {
	c := testConfig(t, map[string]string{"townsquare:size": "m-8vcpu-64gb", "townsquare:databaseSize": "gd-2vcpu-8gb"})
	if d := newHostData(c); d.MemoryMB != 65536 || d.MaxConnections != 157 {
		t.Errorf("%d MB and %d connections, want 65536 and 157, which is four fifths of 197", d.MemoryMB, d.MaxConnections)
	}
	for name, size := range slug.Droplets {
		if size.DiskGB == 0 {
			t.Errorf("the disk of %s is not known", name)
		}
	}
}
