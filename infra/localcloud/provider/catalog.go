package provider

import (
	"slices"
	"strings"

	"townsquare/infra/slug"
)

// bootableImage is the one image that local machines are made from.
const bootableImage = "debian-13-x64"

func images() []string {
	return []string{
		"almalinux-9-x64", "centos-stream-9-x64", "debian-12-x64", bootableImage, "fedora-42-x64",
		"rockylinux-9-x64", "ubuntu-22-04-x64", "ubuntu-24-04-x64", "ubuntu-26-04-x64",
	}
}

func spacesRegions() []string { return slug.SpacesRegions }

// bootableDatabase is the PostgreSQL that machines have: Debian 13's own.
const bootableDatabase = "17"

func knownRegion(region string) error {
	if regions := slug.Names(slug.Regions); !slices.Contains(regions, region) {
		return refused("region: %q is unavailable; one of %s", region, strings.Join(regions, ", "))
	}
	return nil
}
