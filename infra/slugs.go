package infra

import (
	"fmt"
	"maps"
	"strings"

	"townsquare/infra/slug"
)

// images are the systems that cloud-init here is written for and tested on.
// Source: https://docs.digitalocean.com/products/droplets/details/images/
var images = []string{"debian-13-x64"}

// leastMemoryMB is the memory of the smallest server: Mattermost, its database and the copy that an
// upgrade makes do not fit in less.
const leastMemoryMB = 8192

const (
	usualSize         = "s-4vcpu-8gb"
	usualDatabaseSize = "db-s-1vcpu-2gb"
)

func checkSize(v string) (string, string) {
	enough := maps.Clone(slug.Droplets)
	maps.DeleteFunc(enough, func(_ string, size slug.Droplet) bool { return size.MemoryMB < leastMemoryMB })
	allowed := fmt.Sprintf("a droplet size with %d GB of memory and more (all: https://slugs.do-api.dev), such as %s",
		leastMemoryMB/1024, oneOf(slug.Near(v, usualSize, slug.Names(enough))))
	size, known := slug.Droplets[v]
	switch {
	case !known:
		return "is not known", allowed
	case size.MemoryMB < leastMemoryMB:
		return "has too little memory", allowed
	}
	return "", ""
}

func checkDatabaseSize(v string) (string, string) {
	if _, known := slug.Databases[v]; known {
		return "", ""
	}
	return "is not known", "a plan of managed PostgreSQL (all: `doctl databases options slugs --engine pg`), such as " +
		oneOf(slug.Near(v, usualDatabaseSize, slug.Names(slug.Databases)))
}

func oneOf(values []string) string { return strings.Join(values, ", ") }
