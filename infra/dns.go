package infra

import (
	"fmt"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// dnsTTL is in seconds: short enough that a moved server is found again soon.
const dnsTTL = 300

// DNS is the site's name, at DigitalOcean or as a list to enter elsewhere.
type DNS struct {
	pulumi.ResourceState

	Records pulumi.StringArray // one line each, as in a zone file
	URNs    pulumi.StringArray
}

// DNSArgs are the settings of a DNS.
type DNSArgs struct {
	Config *Config             // required
	IPv4   pulumi.StringOutput // required: the reserved address
	IPv6   pulumi.StringOutput // required: the droplet's
}

// NewDNS registers the zone if this stack is to make it, and the site's records unless they are
// kept elsewhere.
func NewDNS(ctx *pulumi.Context, name string, args *DNSArgs, opts ...pulumi.ResourceOption) (*DNS, error) {
	d := &DNS{}
	if err := ctx.RegisterComponentResource("townsquare:infra:Dns", name, d, opts...); err != nil {
		return nil, err
	}
	c, parent := args.Config, pulumi.Parent(d)
	d.Records = pulumi.StringArray{
		pulumi.Sprintf("%s. %d IN A %s", c.SiteHost(), dnsTTL, args.IPv4),
		pulumi.Sprintf("%s. %d IN AAAA %s", c.SiteHost(), dnsTTL, args.IPv6),
	}
	for _, authority := range c.CAA {
		d.Records = append(d.Records, pulumi.Sprintf("%s. %d IN CAA 0 issue %q", c.SiteHost(), dnsTTL, authority))
	}
	if c.DNS == DNSElsewhere {
		return d, ctx.RegisterResourceOutputs(d, pulumi.Map{"records": d.Records})
	}

	var zone pulumi.StringInput = pulumi.String(c.Domain)
	if c.DNS == DNSCreate {
		domain, err := do.NewDomain(ctx, name+"-domain", &do.DomainArgs{Name: pulumi.String(c.Domain)}, parent, pulumi.Protect(c.Protect))
		if err != nil {
			return nil, err
		}
		zone = domain.Name
		d.URNs = pulumi.StringArray{domain.DomainUrn}
	}
	record := func(child string, args do.DnsRecordArgs) error {
		args.Domain, args.Name, args.Ttl = zone, pulumi.String(c.Host), pulumi.Int(dnsTTL)
		_, err := do.NewDnsRecord(ctx, name+child, &args, parent)
		return err
	}
	if err := record("-a", do.DnsRecordArgs{Type: pulumi.String("A"), Value: args.IPv4}); err != nil {
		return nil, err
	}
	if err := record("-aaaa", do.DnsRecordArgs{Type: pulumi.String("AAAA"), Value: args.IPv6}); err != nil {
		return nil, err
	}
	for i, authority := range c.CAA {
		err := record(fmt.Sprintf("-caa-%d", i+1), do.DnsRecordArgs{
			Type: pulumi.String("CAA"), Flags: pulumi.Int(0), Tag: pulumi.String("issue"), Value: pulumi.String(authority + "."),
		})
		if err != nil {
			return nil, err
		}
	}
	return d, ctx.RegisterResourceOutputs(d, pulumi.Map{"records": d.Records})
}
