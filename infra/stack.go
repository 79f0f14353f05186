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
	network, err := NewNetwork(ctx, c.Name, &NetworkArgs{Region: c.Region, Range: c.VPCRange, Protect: c.Protect})
	if err != nil {
		return err
	}
	server, err := NewServer(ctx, c.Name, &ServerArgs{Config: c, VPC: network.VPC, Address: network.Address})
	if err != nil {
		return err
	}
	if _, err := NewFirewall(ctx, c.Name, &FirewallArgs{Droplet: server.Number, SSHFrom: c.SSHFrom}); err != nil {
		return err
	}
	database, err := NewDatabase(ctx, c.Name, &DatabaseArgs{Config: c, VPC: network.VPC, Droplet: server.Droplet.ID()})
	if err != nil {
		return err
	}
	names, err := NewDNS(ctx, c.Name, &DNSArgs{Config: c, IPv4: network.Address.IpAddress, IPv6: server.Droplet.Ipv6Address})
	if err != nil {
		return err
	}
	backups, err := NewBackups(ctx, c.Name, &BackupsArgs{Config: c})
	if err != nil {
		return err
	}
	if _, err := NewAlerts(ctx, c.Name, &AlertsArgs{Config: c, Droplet: server.Droplet.ID(), Cluster: database.ClusterID}); err != nil {
		return err
	}
	if err := newProject(ctx, c, network, server, database, names, backups); err != nil {
		return err
	}
	export(ctx, c, network, database, names, backups)
	return nil
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

// export hands over all that `upgrade` and a person need. Names are part of OutputFormat.
func export(ctx *pulumi.Context, c *Config, network *Network, database *Database, names *DNS, backups *Backups) {
	ctx.Export("format", pulumi.Int(OutputFormat))
	ctx.Export("url", pulumi.String(c.URL()))
	ctx.Export("address", network.Address.IpAddress)
	ctx.Export("sshUser", pulumi.String(sshUser))
	ctx.Export("sshHostKey", pulumi.String(c.HostKey.Public))

	ctx.Export("databaseMode", pulumi.String(c.Database))
	ctx.Export("databaseUrl", pulumi.ToSecret(database.URL))
	ctx.Export("databaseAdminUrl", pulumi.ToSecret(database.AdminURL))
	ctx.Export("databaseCa", database.CA)

	ctx.Export("edition", pulumi.String(c.Edition))
	ctx.Export("track", pulumi.String(c.Track))
	ctx.Export("window", pulumi.String(c.Window))
	ctx.Export("releases", pulumi.StringMap{
		"archive":     pulumi.String(c.Releases.Archive),
		"policy":      pulumi.String(c.Releases.Policy),
		"github":      pulumi.String(c.Releases.GitHub),
		"key":         pulumi.String(c.Releases.Key),
		"fingerprint": pulumi.String(strings.ToUpper(c.Releases.Fingerprint)),
	})

	ctx.Export("backupBucket", backups.Bucket)
	ctx.Export("backupEndpoint", backups.Endpoint)
	ctx.Export("backupAccessKey", pulumi.ToSecret(backups.AccessKey))
	ctx.Export("backupSecretKey", pulumi.ToSecret(backups.SecretKey))
	ctx.Export("backupPassword", pulumi.ToSecret(pulumi.String(c.BackupPassword)))

	if c.DNS == DNSElsewhere {
		ctx.Export("dnsRecords", names.Records)
	}
}
