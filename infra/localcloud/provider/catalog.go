package provider

import (
	"maps"
	"slices"
	"strings"
)

// dropletSize is one row of DigitalOcean's list of sizes: https://slugs.do-api.dev
type dropletSize struct {
	memoryMB, vcpus, diskGB int
	monthly                 float64 // US$
}

// dropletSizes are the sizes that a Townsquare host may sensibly have, and those around them.
func dropletSizes() map[string]dropletSize {
	return map[string]dropletSize{
		"s-1vcpu-512mb-10gb":       {512, 1, 10, 4},
		"s-1vcpu-1gb":              {1024, 1, 25, 6},
		"s-1vcpu-2gb":              {2048, 1, 50, 12},
		"s-2vcpu-2gb":              {2048, 2, 60, 18},
		"s-2vcpu-4gb":              {4096, 2, 80, 24},
		"s-4vcpu-8gb":              {8192, 4, 160, 48},
		"s-4vcpu-8gb-amd":          {8192, 4, 160, 56},
		"s-4vcpu-8gb-intel":        {8192, 4, 160, 56},
		"s-8vcpu-16gb":             {16384, 8, 320, 96},
		"s-8vcpu-16gb-amd":         {16384, 8, 320, 112},
		"s-8vcpu-16gb-intel":       {16384, 8, 320, 112},
		"g-2vcpu-8gb":              {8192, 2, 25, 63},
		"g-4vcpu-16gb":             {16384, 4, 50, 126},
		"c-4":                      {8192, 4, 50, 84},
		"c-8":                      {16384, 8, 100, 168},
		"m-2vcpu-16gb":             {16384, 2, 50, 84},
		"m-4vcpu-32gb":             {32768, 4, 100, 168},
		"s-4vcpu-16gb-amd":         {16384, 4, 200, 84},
		"s-4vcpu-16gb-320gb-intel": {16384, 4, 320, 96},
	}
}

// bootableImage is the one image that local machines are made from.
const bootableImage = "debian-13-x64"

func images() []string {
	return []string{
		"almalinux-9-x64", "centos-stream-9-x64", "debian-12-x64", bootableImage, "fedora-42-x64",
		"rockylinux-9-x64", "ubuntu-22-04-x64", "ubuntu-24-04-x64", "ubuntu-26-04-x64",
	}
}

func regions() []string {
	return []string{
		"ams3", "atl1", "blr1", "fra1", "lon1", "nyc1", "nyc2", "nyc3", "ric1", "sfo2", "sfo3", "sgp1", "syd1", "tor1",
	}
}

func spacesRegions() []string {
	return []string{
		"ams3", "atl1", "blr1", "fra1", "lon1", "nyc3", "ric1", "sfo2", "sfo3", "sgp1", "syd1", "tor1",
	}
}

// databaseSizes are memory in MiB by slug: https://docs.digitalocean.com/products/databases/postgresql/details/pricing/
func databaseSizes() map[string]int {
	return map[string]int{
		"db-s-1vcpu-1gb": 1024, "db-s-1vcpu-2gb": 2048, "db-s-2vcpu-4gb": 4096, "db-s-4vcpu-8gb": 8192,
		"db-s-6vcpu-16gb": 16384, "db-s-8vcpu-32gb": 32768,
		"db-amd-1vcpu-1gb": 1024, "db-amd-1vcpu-2gb": 2048, "db-amd-2vcpu-4gb": 4096, "db-amd-2vcpu-8gb": 8192, "db-amd-4vcpu-8gb": 8192,
		"db-intel-1vcpu-1gb": 1024, "db-intel-1vcpu-2gb": 2048, "db-intel-2vcpu-4gb": 4096, "db-intel-2vcpu-8gb": 8192, "db-intel-4vcpu-8gb": 8192,
		"gd-2vcpu-8gb": 8192, "gd-4vcpu-16gb": 16384, "so1_5-2vcpu-16gb": 16384,
	}
}

// databaseVersions are what a new PostgreSQL cluster may ask for; machines have Debian 13's own.
func databaseVersions() []string { return []string{"14", "15", "16", "17", "18"} }

const bootableDatabase = "17"

func knownRegion(region string) error {
	if !slices.Contains(regions(), region) {
		return refused("region: %q is unavailable; one of %s", region, strings.Join(regions(), ", "))
	}
	return nil
}

func slugs[V any](table map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(table)), ", ")
}
