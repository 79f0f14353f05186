// Package infra is what `pulumi up` builds: one server on DigitalOcean that is ready for
// Mattermost, with its database, names, backups and alerts.
package infra

import (
	"strings"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// OutputFormat is the number of the set of outputs below; `upgrade` refuses one it does not know.
const OutputFormat = 1

// sshUser is the only account of the server that can be logged in to.
const sshUser = "ops"

// New registers the whole stack and its outputs. A configuration with anything wrong in it is
// refused with a Problems before the first resource is registered.
func New(ctx *pulumi.Context) error {
	c, err := Load(ctx)
	if err != nil {
		return err
	}
	outputs, err := build(ctx, c, refuseChanges(ctx))
	if err != nil {
		return err
	}
	for name, value := range outputs {
		ctx.Export(name, value)
	}
	return nil
}

// build is the whole wiring: who needs what from whom.
func build(ctx *pulumi.Context, c *Config, refuse refuser) (pulumi.Map, error) {
	network, err := NewNetwork(ctx, c.Name, &NetworkArgs{Region: c.Region, Range: c.VPCRange, Protect: c.Protect})
	if err != nil {
		return nil, err
	}
	server, err := NewServer(ctx, c.Name, &ServerArgs{Config: c, VPC: network.VPC, Address: network.Address, Refuse: refuse})
	if err != nil {
		return nil, err
	}
	if _, err := NewFirewall(ctx, c.Name, &FirewallArgs{Droplet: server.Number, SSHFrom: c.SSHFrom}); err != nil {
		return nil, err
	}
	database, err := NewDatabase(ctx, c.Name, &DatabaseArgs{Config: c, VPC: network.VPC, Droplet: server.Droplet.ID(), Refuse: refuse})
	if err != nil {
		return nil, err
	}
	names, err := NewDNS(ctx, c.Name, &DNSArgs{Config: c, IPv4: network.Address.IpAddress, IPv6: server.Droplet.Ipv6Address})
	if err != nil {
		return nil, err
	}
	backups, err := NewBackups(ctx, c.Name, &BackupsArgs{Config: c})
	if err != nil {
		return nil, err
	}
	if _, err := NewAlerts(ctx, c.Name, &AlertsArgs{Config: c, Droplet: server.Droplet.ID(), Cluster: database.ClusterID}); err != nil {
		return nil, err
	}
	if err := newProject(ctx, c, network, server, database, names, backups); err != nil {
		return nil, err
	}
	host, err := desired(c)
	if err != nil {
		return nil, err
	}
	out := outputs(c, network, database, names, backups)
	// Not a secret, but 200 lines that only `upgrade` reads; an engine shows no more of a secret than its name.
	out["host"] = pulumi.ToSecret(host)
	return out, nil
}

// newProject groups everything that can be in a project, so that the bill and the control panel
// show this stack as one.
func newProject(ctx *pulumi.Context, c *Config, network *Network, server *Server, database *Database, names *DNS, backups *Backups) error {
	var urns pulumi.StringArray
	for _, list := range []pulumi.StringArray{network.URNs, server.URNs, database.URNs, names.URNs, backups.URNs} {
		urns = append(urns, list...)
	}
	_, err := do.NewProject(ctx, c.Name, &do.ProjectArgs{
		Name:        pulumi.String(c.Name),
		Description: pulumi.String("Mattermost at " + c.SiteHost()),
		Purpose:     pulumi.String("Web Application"),
		Environment: pulumi.String(c.Environment),
		Resources:   urns,
	})
	return err
}

// outputs are all that `upgrade` and a person need. Their names are part of OutputFormat.
func outputs(c *Config, network *Network, database *Database, names *DNS, backups *Backups) pulumi.Map {
	out := pulumi.Map{
		"format":     pulumi.Int(OutputFormat),
		"url":        pulumi.String(c.URL()),
		"address":    network.Address.IpAddress,
		"sshUser":    pulumi.String(sshUser),
		"sshHostKey": pulumi.String(c.HostKey.Public),
		"operators":  operators(c.SSHKeys),

		"databaseMode":     pulumi.String(c.Database),
		"databaseUrl":      pulumi.ToSecret(database.URL),
		"databaseAdminUrl": pulumi.ToSecret(database.AdminURL),
		"databaseCa":       database.CA,

		"edition":        pulumi.String(c.Edition),
		"track":          pulumi.String(c.Track),
		"window":         pulumi.String(c.Window),
		"freeze":         pulumi.ToStringArray(c.Freeze),
		"securityWithin": pulumi.String(c.SecurityWithin),
		"automatic":      pulumi.String(c.Automatic),
		"timers":         pulumi.Bool(c.Timers),
		"notify":         pulumi.ToSecret(pulumi.String(c.Notify)),
		"releases": pulumi.StringMap{
			"archive":     pulumi.String(c.Releases.Archive),
			"policy":      pulumi.String(c.Releases.Policy),
			"github":      pulumi.String(c.Releases.GitHub),
			"key":         pulumi.String(c.Releases.Key),
			"fingerprint": pulumi.String(strings.ToUpper(c.Releases.Fingerprint)),
		},

		"backupBucket":    backups.Bucket,
		"backupEndpoint":  backups.Endpoint,
		"backupAccessKey": pulumi.ToSecret(backups.AccessKey),
		"backupSecretKey": pulumi.ToSecret(backups.SecretKey),
		"backupPassword":  pulumi.ToSecret(pulumi.String(c.BackupPassword)),
		"backupKeep": pulumi.IntMap{
			"last": pulumi.Int(c.BackupKeep.Last), "daily": pulumi.Int(c.BackupKeep.Daily), "weekly": pulumi.Int(c.BackupKeep.Weekly), "monthly": pulumi.Int(c.BackupKeep.Monthly),
		},
	}
	if c.DNS == DNSElsewhere {
		out["dnsRecords"] = names.Records
	}
	return out
}

// operators names the keys that may log in, so that a preview shows who comes and who goes: no resource
// changes with them.
func operators(keys []SSHKey) pulumi.StringArray {
	var list pulumi.StringArray
	for _, key := range keys {
		list = append(list, pulumi.String(strings.TrimSpace(key.Fingerprint+" "+key.Comment)))
	}
	return list
}
