// Command upgrade installs Mattermost on a server and keeps it current; see its help.
package main

import (
	"os"

	"townsquare/upgrade/cli"
)

func main() { os.Exit(cli.Main()) }
