package mattermost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"townsquare/upgrade/host"
)

// debianTools is where Debian keeps PostgreSQL's programs, one directory a major version.
const debianTools = "/usr/lib/postgresql"

var toolVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// Tools are PostgreSQL's own programs of one major version.
type Tools struct {
	Dir   string // empty: from PATH
	Major int
	run   Runner
}

// FindTools finds pg_dump and pg_restore that can read a server of this major version: the oldest
// that is not older than the server, as only the same or a newer pg_dump can dump it.
func FindTools(ctx context.Context, run Runner, server int) (Tools, error) {
	best := Tools{run: run}
	dirs, err := filepath.Glob(filepath.Join(debianTools, "*", "bin"))
	if err != nil {
		return best, err
	}
	newest := 0
	for _, dir := range append(dirs, "") {
		if dir != "" {
			if _, err := os.Stat(filepath.Join(dir, "pg_dump")); err != nil {
				continue
			}
		}
		out, err := run(ctx, host.Command{Name: filepath.Join(dir, "pg_dump"), Args: []string{"--version"}})
		m := toolVersion.FindSubmatch(out)
		if err != nil || m == nil {
			continue
		}
		major, _ := strconv.Atoi(string(m[1]))
		newest = max(newest, major)
		if major >= server && (best.Major == 0 || major < best.Major) {
			best.Dir, best.Major = dir, major
		}
	}
	switch {
	case newest == 0:
		return best, fmt.Errorf("pg_dump is not installed")
	case best.Major == 0:
		return best, fmt.Errorf("pg_dump is of PostgreSQL %d, and the server is %d", newest, server)
	}
	return best, nil
}

func (t Tools) path(program string) string {
	if t.Dir == "" {
		return program
	}
	return filepath.Join(t.Dir, program)
}
