package infra

import (
	"fmt"
	"net/url"
	"strconv"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"townsquare/infra/slug"
)

const (
	databaseName = "mattermost" // of the database and of the application's role

	localConnections    = 200 // Mattermost's, to a PostgreSQL on the same 8 GB
	reservedConnections = 20  // the upgrader's and the superuser's

	// caPath is where `upgrade` puts the cluster's certificate authority on the host.
	caPath = "/etc/townsquare/database-ca.pem"
)

// Database is managed PostgreSQL, or the addresses of the one on the droplet, which cloud-init sets up.
type Database struct {
	pulumi.ResourceState

	URL, AdminURL pulumi.StringOutput   // secrets; the application's and the upgrader's
	CA            pulumi.StringOutput   // PEM; empty if local
	ClusterID     pulumi.StringPtrInput // nil if local
	URNs          pulumi.StringArray
}

// DatabaseArgs are the settings of a Database.
type DatabaseArgs struct {
	Config  *Config         // required
	VPC     *do.Vpc         // required: where a managed cluster has its private address
	Droplet pulumi.IDOutput // required: the only machine that may connect
	Refuse  refuser         // required
}

// NewDatabase registers the cluster, or nothing at all with database: local.
func NewDatabase(ctx *pulumi.Context, name string, args *DatabaseArgs, opts ...pulumi.ResourceOption) (*Database, error) {
	d := &Database{}
	if err := ctx.RegisterComponentResource("townsquare:infra:Database", name, d, opts...); err != nil {
		return nil, err
	}
	build := d.managed
	if args.Config.Database == DatabaseLocal {
		build = d.local
	}
	if err := build(ctx, name, args); err != nil {
		return nil, err
	}
	return d, ctx.RegisterResourceOutputs(d, pulumi.Map{"url": d.URL, "adminUrl": d.AdminURL})
}

// local is PostgreSQL's socket: the kernel vouches for who is asking, so there is no password.
func (d *Database) local(*pulumi.Context, string, *DatabaseArgs) error {
	socket := func(role string) pulumi.StringOutput {
		return secret(pulumi.Sprintf("postgres:///%s?host=/var/run/postgresql&user=%s", databaseName, role))
	}
	d.URL, d.AdminURL = socket(databaseName), socket("townsquare")
	d.CA = pulumi.String("").ToStringOutput()
	return nil
}

func (d *Database) managed(ctx *pulumi.Context, name string, args *DatabaseArgs) error {
	c, parent, protect := args.Config, pulumi.Parent(d), pulumi.Protect(args.Config.Protect)
	growing, err := args.Refuse("database", refuseOlderDatabase, refuseSmallerDatabase)
	if err != nil {
		return err
	}
	cluster, err := do.NewDatabaseCluster(ctx, name+"-cluster", &do.DatabaseClusterArgs{
		Name:               pulumi.String(name),
		Engine:             pulumi.String("pg"),
		Version:            pulumi.String(c.DatabaseVersion),
		Size:               pulumi.String(c.DatabaseSize),
		NodeCount:          pulumi.Int(c.DatabaseNodes),
		Region:             pulumi.String(c.Region),
		PrivateNetworkUuid: args.VPC.ID().ToStringOutput(),
		MaintenanceWindows: do.DatabaseClusterMaintenanceWindowArray{do.DatabaseClusterMaintenanceWindowArgs{
			Day: pulumi.String(c.MaintenanceDay), Hour: pulumi.String(c.MaintenanceHour),
		}},
	}, parent, protect, growing)
	if err != nil {
		return err
	}
	_, err = do.NewDatabaseFirewall(ctx, name+"-database-firewall", &do.DatabaseFirewallArgs{
		ClusterId: cluster.ID().ToStringOutput(),
		Rules: do.DatabaseFirewallRuleArray{do.DatabaseFirewallRuleArgs{
			Type: pulumi.String("droplet"), Value: args.Droplet.ToStringOutput(),
		}},
	}, parent, protect) // without it the cluster is open to the world
	if err != nil {
		return err
	}
	database, err := do.NewDatabaseDb(ctx, name+"-database", &do.DatabaseDbArgs{
		ClusterId: cluster.ID().ToStringOutput(), Name: pulumi.String(databaseName),
	}, parent, protect)
	if err != nil {
		return err
	}
	user, err := do.NewDatabaseUser(ctx, name+"-database-user", &do.DatabaseUserArgs{
		ClusterId: cluster.ID().ToStringOutput(), Name: pulumi.String(databaseName),
	}, parent, protect, pulumi.AdditionalSecretOutputs([]string{"password", "accessKey", "accessCert"}))
	if err != nil {
		return err
	}
	ca := do.GetDatabaseCaOutput(ctx, do.GetDatabaseCaOutputArgs{ClusterId: cluster.ID().ToStringOutput()}, pulumi.Parent(d))

	d.URL = databaseURL(user.Name, user.Password, cluster.PrivateHost, cluster.Port, database.Name)
	d.AdminURL = databaseURL(cluster.User, cluster.Password, cluster.PrivateHost, cluster.Port, database.Name)
	d.CA = ca.Certificate()
	d.ClusterID = cluster.ID().ToStringPtrOutput()
	d.URNs = pulumi.StringArray{cluster.ClusterUrn}
	return nil
}

// refuseOlderDatabase keeps a cluster's PostgreSQL from becoming older: DigitalOcean upgrades in place,
// and answers 422 to an older version, after which the right one is refused once more.
// Source: https://docs.digitalocean.com/products/databases/postgresql/how-to/upgrade-version/
func refuseOlderDatabase(before, after resource.PropertyMap) Problems {
	from, to, ok := changed(before, after, "version")
	old, oldErr := strconv.Atoi(from)
	asked, err := strconv.Atoi(to)
	if !ok || oldErr != nil || err != nil || asked > old {
		return nil
	}
	return refusal("databaseVersion", from, to, "is older than the cluster's PostgreSQL "+from+", and DigitalOcean only upgrades",
		from+" and later; for an older one restore a backup into a new cluster")
}

// refuseSmallerDatabase keeps a cluster from a plan with less memory, which DigitalOcean refuses.
// Source: https://docs.digitalocean.com/products/databases/postgresql/details/limits/
func refuseSmallerDatabase(before, after resource.PropertyMap) Problems {
	from, to, ok := changed(before, after, "size")
	if !ok || slug.Databases[to].MemoryMB >= slug.Databases[from].MemoryMB {
		return nil
	}
	return refusal("databaseSize", from, to, "has less memory than the cluster's "+from+", and DigitalOcean does not make a cluster smaller",
		from+" or a larger plan; for a smaller one restore a backup into a new cluster")
}

// databaseURL asks for a certificate of the cluster's own authority, for its private name.
func databaseURL(user, password, host pulumi.StringInput, port pulumi.IntInput, database pulumi.StringInput) pulumi.StringOutput {
	return secret(pulumi.All(user, password, host, port, database).ApplyT(func(v []any) string {
		u := url.URL{
			Scheme: "postgres",
			User:   url.UserPassword(v[0].(string), v[1].(string)),
			Host:   fmt.Sprintf("%s:%d", v[2], v[3]),
			Path:   "/" + v[4].(string),
			RawQuery: url.Values{
				"sslmode": {"verify-full"}, "sslrootcert": {caPath}, "connect_timeout": {"10"},
			}.Encode(),
		}
		return u.String()
	}).(pulumi.StringOutput))
}

func secret(o pulumi.StringOutput) pulumi.StringOutput {
	return pulumi.ToSecret(o).(pulumi.StringOutput)
}
