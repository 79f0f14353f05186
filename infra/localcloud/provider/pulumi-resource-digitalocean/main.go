// Command pulumi-resource-digitalocean is the provider that Pulumi's engine starts in place of
// DigitalOcean's own. See package provider.
package main

import (
	"context"
	"fmt"
	"os"

	p "github.com/pulumi/pulumi-go-provider"

	"townsquare/infra/localcloud/provider"
	"townsquare/infra/localcloud/provider/local"
)

func main() {
	cloud := &provider.Cloud{Open: local.Open}
	if err := p.RunProvider(context.Background(), provider.Name, provider.Version, provider.New(cloud)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
