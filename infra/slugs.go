package infra

import (
	"maps"
	"slices"
	"strings"
)

// DigitalOcean's provider accepts any slug at preview and fails half way through `up`. These are
// the ones this program can build on; a slug DigitalOcean adds later is one more line here.

// image is a system that cloud-init here is written for and tested on.
// Source: https://docs.digitalocean.com/products/droplets/details/images/
var images = []string{"debian-13-x64"}

// regions are the data centres that offer everything a stack can use: droplets, block storage, VPC and
// managed databases, and the Spaces region nearest to each.
// Source: https://docs.digitalocean.com/platform/regional-availability/
var regions = map[string]string{
	"ams3": "ams3",
	"atl1": "nyc3",
	"blr1": "blr1",
	"fra1": "fra1",
	"lon1": "lon1",
	"nyc1": "nyc3",
	"nyc3": "nyc3",
	"sfo2": "sfo2",
	"sfo3": "sfo3",
	"sgp1": "sgp1",
	"syd1": "syd1",
	"tor1": "tor1",
}

// spacesRegions are the regions of object storage that the provider knows; it does not know Atlanta's.
// Source: https://docs.digitalocean.com/products/spaces/details/availability/
var spacesRegions = []string{"ams3", "blr1", "fra1", "lon1", "nyc3", "sfo2", "sfo3", "sgp1", "syd1", "tor1"}

// dropletSizes are the sizes with 8 GB and more that are not meant for graphics or storage,
// with their memory in MB. Less than 8 GB is refused: Mattermost, its database and the copy that an
// upgrade makes would not fit.
// Source: https://slugs.do-api.dev/ and https://docs.digitalocean.com/products/droplets/details/pricing/
var dropletSizes = map[string]int{
	"s-4vcpu-8gb":        8192,
	"s-4vcpu-8gb-amd":    8192,
	"s-4vcpu-8gb-intel":  8192,
	"s-4vcpu-16gb-amd":   16384,
	"s-4vcpu-16gb-intel": 16384,
	"s-8vcpu-16gb":       16384,
	"s-8vcpu-16gb-amd":   16384,
	"s-8vcpu-16gb-intel": 16384,
	"s-8vcpu-32gb-amd":   32768,
	"s-8vcpu-32gb-intel": 32768,
	"g-2vcpu-8gb":        8192,
	"g-4vcpu-16gb":       16384,
	"g-8vcpu-32gb":       32768,
	"gd-2vcpu-8gb":       8192,
	"gd-4vcpu-16gb":      16384,
	"gd-8vcpu-32gb":      32768,
	"c-4":                8192,
	"c-8":                16384,
	"c-16":               32768,
	"m-2vcpu-16gb":       16384,
	"m-4vcpu-32gb":       32768,
}

// databaseSize is a plan of managed PostgreSQL.
type databaseSize struct {
	connections int // that a client may hold open, from the table of limits
	nodes       int // at most, standbys included
}

// databaseSizes are the plans that bear a Mattermost.
// Source: https://docs.digitalocean.com/products/databases/postgresql/details/limits/
var databaseSizes = map[string]databaseSize{
	"db-s-1vcpu-1gb":   {22, 1},
	"db-s-1vcpu-2gb":   {47, 2},
	"db-s-2vcpu-4gb":   {97, 3},
	"db-s-4vcpu-8gb":   {197, 3},
	"db-s-6vcpu-16gb":  {397, 3},
	"db-s-8vcpu-32gb":  {797, 3},
	"db-s-16vcpu-64gb": {997, 3},
}

// databaseVersions are the versions of managed PostgreSQL that every release Townsquare installs
// accepts; 15 is the minimum of Mattermost 12.0.
var databaseVersions = []string{"15", "16", "17"}

func names[V any](table map[string]V) []string { return slices.Sorted(maps.Keys(table)) }

func oneOf(values []string) string { return strings.Join(values, ", ") }
