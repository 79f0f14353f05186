// The Pulumi program: what `pulumi up` builds. Everything is in package infra.
package main

import (
	"townsquare/infra"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(infra.New)
}
