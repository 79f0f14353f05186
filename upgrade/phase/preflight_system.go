package phase

import (
	"context"
	"fmt"
	"strconv"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
)

// What a server has at least, so that what protects a run is there: Debian 11 has systemd 247, and
// PostgreSQL 11 is what Mattermost 8.0 asks for.
const (
	leastSystemd    = 247
	leastPostgreSQL = 11
)

// checkSystem is about what recovery and the way back rely on, whichever version is the target.
func checkSystem(ctx context.Context, op *Operation) (problem.List, error) {
	out, err := host.Run(ctx, host.Command{Name: "systemctl", Args: []string{"--version"}})
	if err != nil {
		return nil, err
	}
	var (
		found problem.List
		have  int
	)
	if _, err := fmt.Sscanf(string(out), "systemd %d", &have); err != nil || have < leastSystemd {
		found = append(found, problem.Problem{Where: "systemd", Found: strconv.Itoa(have), Allowed: fmt.Sprintf("%d or newer, as in Debian 11 and Ubuntu 22.04", leastSystemd),
			Hint: "upgrade the operating system first"})
	}
	server := op.Facts.Schema.Server
	if server < leastPostgreSQL && server >= release.PostgreSQLMinimum(op.Choice.Next.Version) { // else checkVersion refuses it
		found = append(found, problem.Problem{Where: "PostgreSQL", Found: strconv.Itoa(server), Allowed: fmt.Sprintf("%d or newer", leastPostgreSQL),
			Hint: "sudo apt install postgresql && man pg_upgradecluster"})
	}
	return found, nil
}
