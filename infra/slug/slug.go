// Package slug is what DigitalOcean offers, by the names that its API takes: sizes of droplets, plans
// of managed PostgreSQL, regions. DigitalOcean's provider accepts any name at preview, and the API
// answers 422 half way through `up`; the program and the local cloud refuse what is not in here.
package slug

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

//go:generate go run ./generate -o generated.go

// Droplet is a size of droplets that run the amd64 images.
type Droplet struct {
	VCPUs    int
	MemoryMB int
	DiskGB   int // 0: not known; only the API says whether a resize fits
}

// Database is a plan of managed PostgreSQL.
type Database struct {
	MemoryMB int
}

// Nodes returns how many nodes a cluster of this plan may have, standbys included. The smallest have
// no standby.
// Source: layouts of pg in specification/resources/databases/responses/options.yml of github.com/digitalocean/openapi
func (d Database) Nodes() int {
	if d.MemoryMB < 2048 {
		return 1
	}
	return 3
}

// Connections returns how many connections clients may hold open: 25 for each GiB of memory and at
// most 1000, without the 3 that are reserved for maintenance.
// Source: https://docs.digitalocean.com/products/databases/postgresql/details/limits/
func (d Database) Connections() int {
	return min(25*d.MemoryMB/1024, 1000) - 3
}

// DatabaseVersions are the versions of PostgreSQL that a new cluster may have, oldest first. 14 and
// older are no longer offered, and 18 is not yet.
// Source: options.yml, as above; end_of_availability
var DatabaseVersions = []string{"15", "16", "17"}

// Regions are the data centres that offer everything a stack can use, which is droplets, volumes, VPC
// and managed databases, and the Spaces region nearest to each.
// Source: https://docs.digitalocean.com/platform/regional-availability/
var Regions = map[string]string{
	"ams3": "ams3",
	"atl1": "atl1",
	"blr1": "blr1",
	"fra1": "fra1",
	"lon1": "lon1",
	"nyc1": "nyc3",
	"nyc3": "nyc3",
	"ric1": "nyc3",
	"sfo2": "sfo2",
	"sfo3": "sfo3",
	"sgp1": "sgp1",
	"syd1": "syd1",
	"tor1": "tor1",
}

// SpacesRegions are the regions of object storage that the provider's version 4.76.0 accepts.
// Source: SpacesRegions in digitalocean/spaces/spaces_buckets.go of github.com/digitalocean/terraform-provider-digitalocean
var SpacesRegions = []string{"ams3", "atl1", "blr1", "fra1", "lon1", "nyc3", "sfo2", "sfo3", "sgp1", "syd1", "tor1"}

// Names returns the slugs of a table in alphabetical order.
func Names[V any](table map[string]V) []string { return slices.Sorted(maps.Keys(table)) }

// Near returns the few names that are most like one that is not among them, the nearest first: those
// that share most of its parts, then most of its beginning, then most with the usual name.
func Near(name, usual string, names []string) []string {
	const few = 5
	shared := func(a, b string) (n int) {
		parts := strings.Split(a, "-")
		for _, part := range strings.Split(b, "-") {
			if slices.Contains(parts, part) {
				n++
			}
		}
		return n
	}
	beginning := func(a, b string) (n int) {
		for n < min(len(a), len(b)) && a[n] == b[n] {
			n++
		}
		return n
	}
	near := slices.Clone(names)
	slices.SortFunc(near, func(a, b string) int {
		return cmp.Or(
			cmp.Compare(shared(name, b), shared(name, a)), cmp.Compare(beginning(name, b), beginning(name, a)),
			cmp.Compare(shared(usual, b), shared(usual, a)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return near[:min(few, len(near))]
}
