package infra

import (
	"strconv"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"townsquare/infra/slug"
)

// Server is the droplet and the volumes that outlive it.
type Server struct {
	pulumi.ResourceState

	Droplet *do.Droplet
	Number  pulumi.IntOutput // the droplet's ID, as firewalls and addresses want it
	URNs    pulumi.StringArray
}

// ServerArgs are the settings of a Server.
type ServerArgs struct {
	Config  *Config               // required
	VPC     *do.Vpc               // required: the droplet's private network
	Address *do.ReservedIp        // required: the address it gets
	Refuse  refuser               // required
	Resize  pulumi.ResourceOption // required: see resizing
}

// NewServer registers a key for the account, the volumes, the droplet, and the assignment of the
// address. A later change of image, keys or first-boot script is for the next droplet: it never
// replaces the running one.
func NewServer(ctx *pulumi.Context, name string, args *ServerArgs, opts ...pulumi.ResourceOption) (*Server, error) {
	s := &Server{}
	if err := ctx.RegisterComponentResource("townsquare:infra:Server", name, s, opts...); err != nil {
		return nil, err
	}
	c, parent, protect := args.Config, pulumi.Parent(s), pulumi.Protect(args.Config.Protect)
	host := newHostData(c)
	data, err := userData(host)
	if err != nil {
		return nil, err
	}

	key, err := NewAccountKey(ctx, name, c, parent)
	if err != nil {
		return nil, err
	}
	var volumes pulumi.StringArray
	for _, v := range []struct {
		child, name, use string
		size             int
	}{
		{name + "-files", host.FilesVolume, "Mattermost's files, config and plugins", c.VolumeGB},
		{name + "-database", host.DatabaseVolume, "PostgreSQL", c.DatabaseVolumeGB},
	} {
		if v.name == "" {
			continue
		}
		volume, err := do.NewVolume(ctx, v.child, &do.VolumeArgs{
			Name:                  pulumi.String(v.name),
			Region:                pulumi.String(c.Region),
			Size:                  pulumi.Int(v.size),
			InitialFilesystemType: pulumi.String("ext4"),
			Description:           pulumi.String(v.use),
			// It describes the first formatting only; a change would replace the volume.
		}, parent, protect, pulumi.IgnoreChanges([]string{"initialFilesystemType", "initialFilesystemLabel", "description"}))
		if err != nil {
			return nil, err
		}
		volumes = append(volumes, volume.ID().ToStringOutput())
		s.URNs = append(s.URNs, volume.VolumeUrn)
	}

	droplet := &do.DropletArgs{
		Name:             pulumi.String(name),
		Image:            pulumi.String(c.Image),
		Size:             pulumi.String(c.Size),
		Region:           pulumi.String(c.Region),
		VpcUuid:          args.VPC.ID().ToStringOutput(),
		Ipv6:             pulumi.Bool(true),
		Monitoring:       pulumi.Bool(true),
		DropletAgent:     pulumi.Bool(false), // it would let the control panel in as root
		GracefulShutdown: pulumi.Bool(true),
		ResizeDisk:       pulumi.Bool(false), // so that a larger size can be taken back
		SshKeys:          pulumi.StringArray{key.Fingerprint},
		UserData:         pulumi.ToSecret(pulumi.String(data)).(pulumi.StringOutput).ToStringPtrOutput(),
		VolumeIds:        volumes, // from the start: they are there at first boot
		Backups:          pulumi.Bool(c.DropletBackups != "off"),
	}
	if c.DropletBackups != "off" {
		policy := do.DropletBackupPolicyArgs{Plan: pulumi.String(c.DropletBackups), Hour: pulumi.Int(4)} // UTC
		if c.DropletBackups == "weekly" {
			policy.Weekday = pulumi.String("SUN")
		}
		droplet.BackupPolicy = policy
	}
	s.Droplet, err = do.NewDroplet(ctx, name+"-droplet", droplet, parent, protect,
		// DigitalOcean says what monitoring is; were it once missing there, the droplet would be replaced. It never
		// says what dropletAgent is, which an import therefore lacks.
		pulumi.IgnoreChanges([]string{"image", "userData", "sshKeys", "monitoring", "dropletAgent"}),
		// By default the provider waits an hour for a droplet that is never ready, and one minute for a
		// shutdown, which Mattermost alone may take.
		pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "15m", Update: "30m", Delete: "10m"}),
		pulumi.AdditionalSecretOutputs([]string{"userData"}),
		// A volume is at one droplet at a time.
		pulumi.DeleteBeforeReplace(true), args.Resize)
	if err != nil {
		return nil, err
	}
	s.URNs = append(s.URNs, s.Droplet.DropletUrn)
	s.Number = s.Droplet.ID().ToStringOutput().ApplyT(strconv.Atoi).(pulumi.IntOutput)
	_, err = do.NewReservedIpAssignment(ctx, name+"-address", &do.ReservedIpAssignmentArgs{
		IpAddress: args.Address.IpAddress,
		DropletId: s.Number,
	}, parent, pulumi.DeleteBeforeReplace(true))
	if err != nil {
		return nil, err
	}
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{"droplet": s.Droplet.ID(), "ipv6": s.Droplet.Ipv6Address})
}

func newHostData(c *Config) hostData {
	d := hostData{
		Name: c.Name, SiteHost: c.SiteHost(), URL: c.URL(),
		HostKey:     c.HostKey,
		FilesVolume: c.Name + "-files",
		ACMEEmail:   c.ACMEEmail, ACMEDirectory: c.ACMEDirectory,
		DatabaseMode: c.Database,
		MemoryMB:     slug.Droplets[c.Size].MemoryMB,
	}
	for _, key := range c.SSHKeys {
		d.AdminKeys = append(d.AdminKeys, key.Line)
	}
	if c.Database == DatabaseLocal {
		d.DatabaseVolume = c.Name + "-database"
		d.MaxConnections = localConnections
	} else {
		d.MaxConnections = slug.Databases[c.DatabaseSize].Connections() * 4 / 5
	}
	return d
}
