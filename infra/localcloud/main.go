// Command localcloud is "DigitalOcean" on this computer, for demonstrations,
// tests and rehearsals: machines, their network, and the services they expect.
package main

import (
	"os"

	"townsquare/infra/localcloud/cmd"
	"townsquare/infra/localcloud/provider/local"
)

func main() {
	// Pulumi's engine starts this program again, as its provider.
	if local.Called() {
		os.Exit(local.Main())
	}
	os.Exit(cmd.Main(os.Args[1:]))
}
