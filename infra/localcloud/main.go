// Command localcloud is "DigitalOcean" on this computer, for demonstrations,
// tests and rehearsals: machines, their network, and the services they expect.
package main

import (
	"os"

	"townsquare/infra/localcloud/cmd"
)

func main() { os.Exit(cmd.Main(os.Args[1:])) }
