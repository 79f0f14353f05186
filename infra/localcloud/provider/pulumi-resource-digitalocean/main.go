// Command pulumi-resource-digitalocean is the provider that Pulumi's engine starts in place of
// DigitalOcean's own. See package provider. (localcloud is the same under this name.)
package main

import (
	"os"

	"townsquare/infra/localcloud/provider/local"
)

func main() { os.Exit(local.Main()) }
