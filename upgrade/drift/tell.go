package drift

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"townsquare/upgrade/state"
)

const caddyFile = "/etc/caddy/Caddyfile"

// Prove wants the files that Write changed to be understood by those who read them. Nobody has read
// them yet.
func (c *Comparison) Prove(ctx context.Context) error {
	for _, check := range []struct {
		file string
		argv []string
	}{
		{caddyFile, []string{"caddy", "validate", "--adapter", "caddyfile", "--config", caddyFile}},
		{sshFile, []string{"/usr/sbin/sshd", "-t"}},
		{firewallFile, []string{"nft", "--check", "--file", firewallFile}},
	} {
		if !c.writes(check.file) && (check.file != caddyFile || !c.caddy()) {
			continue
		}
		if _, err := c.host.ask(ctx, check.argv[0], check.argv[1:]...); err != nil {
			return fmt.Errorf("%s does not hold: %w", check.file, err)
		}
	}
	return nil
}

var (
	clusterFile = regexp.MustCompile(`^/etc/postgresql/([0-9]+)/([^/]+)/`)
	unitFile    = regexp.MustCompile(`^` + unitDir + `([^/]+?)(\.d/.*)?$`)
)

// caddy reports whether a repair writes a file that Caddy reads.
func (c *Comparison) caddy() bool {
	return slices.ContainsFunc(c.files, func(f state.File) bool { return strings.HasPrefix(f.Path, "/etc/caddy/") })
}

// clusterOf is the unit of the database server that reads a file; empty when none does.
func clusterOf(path string) string {
	m := clusterFile.FindStringSubmatch(path)
	if m == nil {
		return ""
	}
	return "postgresql@" + m[1] + "-" + m[2] + ".service"
}

// Tell lets those who read the files know: each only if a file of its own has changed, and by the
// gentlest way it has. Nobody's connection is cut. The notes are what counts only later.
func (c *Comparison) Tell(ctx context.Context) (notes []string, err error) {
	var units, clusters []string
	journal, certain := false, []order(nil)
	for _, path := range c.Files() {
		if m := unitFile.FindStringSubmatch(path); m != nil && !slices.Contains(units, m[1]) {
			units = append(units, m[1])
		}
		if unit := clusterOf(path); unit != "" && !slices.Contains(clusters, unit) {
			clusters = append(clusters, unit)
		}
		journal = journal || strings.HasPrefix(path, "/etc/systemd/journald.conf.d/")
	}
	if len(units) > 0 {
		certain = append(certain, order{verb: []string{"daemon-reload"}})
	}
	if journal {
		certain = append(certain, order{[]string{"restart"}, "systemd-journald.service"})
	}
	if c.writes(sysctlFile) || c.kernel {
		certain = append(certain, order{[]string{"restart"}, "systemd-sysctl.service"})
	}
	if c.caddy() {
		certain = append(certain, order{[]string{"reload"}, "caddy.service"})
	}
	for _, unit := range clusters {
		certain = append(certain, order{[]string{"reload"}, unit})
		notes = append(notes, unit+" has read its settings; those that it takes only at its start count from its next one")
	}
	if c.writes(firewallFile) || c.firewall {
		if _, err := c.host.ask(ctx, "nft", "--file", firewallFile); err != nil {
			return notes, fmt.Errorf("load the firewall: %w", err)
		}
	}
	for _, o := range certain {
		argv := slices.Clone(o.verb)
		if o.unit != "" {
			if active, err := c.host.Active(ctx, o.unit); err != nil {
				return notes, err
			} else if len(active) == 0 {
				continue // it reads them when it starts
			}
			argv = append(argv, o.unit)
		}
		if _, err := c.host.ask(ctx, "systemctl", argv...); err != nil {
			return notes, fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
		}
	}
	for _, unit := range units {
		if active, err := c.host.Active(ctx, unit); err != nil {
			return notes, err
		} else if len(active) > 0 && strings.HasSuffix(unit, ".service") {
			notes = append(notes, fmt.Sprintf("%s runs on as it was started; how it should run counts from its next start: sudo systemctl restart %[1]s", unit))
		}
	}
	if c.writes(sshFile) {
		return notes, c.host.RestartSSH(ctx, "ssh.service")
	}
	return notes, nil
}
