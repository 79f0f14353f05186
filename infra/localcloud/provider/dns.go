package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// DomainArgs are the inputs of digitalocean.Domain.
type DomainArgs struct {
	IpAddress *string `pulumi:"ipAddress,optional"`
	Name      string  `pulumi:"name"`
}

// DomainState is a DNS zone. Ttl is in seconds.
type DomainState struct {
	DomainArgs
	DomainUrn string `pulumi:"domainUrn"`
	Ttl       int    `pulumi:"ttl"`
}

// defaultTTL is the time to live of a record that does not say, in seconds.
const defaultTTL = 1800

var validDomain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

func newDomains(cloud *Cloud) infer.InferredResource {
	r := &resource[DomainArgs, DomainState]{cloud: cloud, name: "Domain"}
	r.create = func(ctx context.Context, in DomainArgs) (string, DomainState, error) {
		state := DomainState{DomainArgs: in, DomainUrn: "do:domain:" + in.Name, Ttl: defaultTTL}
		if !validDomain.MatchString(in.Name) {
			return "", state, refused("name: %q is not a valid domain name", in.Name)
		}
		if in.IpAddress != nil {
			if _, err := netip.ParseAddr(*in.IpAddress); err != nil {
				return "", state, refused("ip_address: %q is no address", *in.IpAddress)
			}
		}
		return in.Name, state, cloud.changeNetwork(ctx, func(c *Contents) error {
			if _, taken := c.Resources[r.name][in.Name]; taken {
				return refused("name: domain %q already exists", in.Name)
			}
			return c.put(r.name, in.Name, state)
		})
	}
	r.remove = func(ctx context.Context, id string, _ DomainState) error {
		return cloud.changeNetwork(ctx, func(c *Contents) error {
			records, err := all[DnsRecordState](c, "DnsRecord")
			if err != nil {
				return err
			}
			for record, state := range records { // a zone takes its records with it
				if state.Domain == id {
					c.drop("DnsRecord", record)
				}
			}
			c.drop(r.name, id)
			return nil
		})
	}
	return infer.Resource(r)
}

// DnsRecordArgs are the inputs of digitalocean.DnsRecord. Ttl is in seconds.
type DnsRecordArgs struct {
	Domain   string  `pulumi:"domain"`
	Flags    *int    `pulumi:"flags,optional"`
	Name     *string `pulumi:"name,optional"`
	Port     *int    `pulumi:"port,optional"`
	Priority *int    `pulumi:"priority,optional"`
	Tag      *string `pulumi:"tag,optional"`
	Ttl      *int    `pulumi:"ttl,optional"`
	Type     string  `pulumi:"type"`
	Value    string  `pulumi:"value"`
	Weight   *int    `pulumi:"weight,optional"`
}

// DnsRecordState is one record of a zone.
type DnsRecordState struct {
	DnsRecordArgs
	Fqdn string `pulumi:"fqdn"`
}

func newDnsRecords(cloud *Cloud) infer.InferredResource {
	r := &resource[DnsRecordArgs, DnsRecordState]{cloud: cloud, name: "DnsRecord"}
	r.autoname = func(in *DnsRecordArgs) **string { return &in.Name }
	r.check = checkRecord
	save := func(ctx context.Context, id *string, state *DnsRecordState) error {
		if state.Ttl == nil {
			state.Ttl = ptr(defaultTTL)
		}
		state.Fqdn = fqdn(*state.Name, state.Domain)
		if err := refuseRecord(state.DnsRecordArgs); err != nil {
			return err
		}
		return cloud.changeNetwork(ctx, func(c *Contents) error {
			if _, ok := c.Resources["Domain"][state.Domain]; !ok {
				return fmt.Errorf("domain %q: %w", state.Domain, errNotFound)
			}
			if *id == "" {
				*id = c.number()
			}
			return c.put(r.name, *id, *state)
		})
	}
	r.create = func(ctx context.Context, in DnsRecordArgs) (id string, state DnsRecordState, err error) {
		state.DnsRecordArgs = in
		err = save(ctx, &id, &state)
		return id, state, err
	}
	r.update = func(ctx context.Context, id string, _ DnsRecordState, state *DnsRecordState) error {
		return save(ctx, &id, state)
	}
	r.remove = func(ctx context.Context, id string, _ DnsRecordState) error {
		return cloud.changeNetwork(ctx, func(c *Contents) error { c.drop(r.name, id); return nil })
	}
	return infer.Resource(r)
}

func checkRecord(in *DnsRecordArgs) (failures []p.CheckFailure) {
	if in.Ttl != nil && *in.Ttl < 1 {
		failures = append(failures, fails("ttl", "must be at least 1 second, not %d", *in.Ttl))
	}
	if in.Type == "CAA" {
		if in.Flags == nil || *in.Flags < 0 || *in.Flags > 255 {
			failures = append(failures, fails("flags", "a CAA record needs flags between 0 and 255"))
		}
		if value(in.Tag) == "" {
			failures = append(failures, fails("tag", "a CAA record needs a tag: issue, issuewild or iodef"))
		}
	}
	return failures
}

// refuseRecord is what the API answers to values that the provider lets through.
func refuseRecord(in DnsRecordArgs) error {
	var problems []error
	address, err := netip.ParseAddr(in.Value)
	switch {
	case in.Type == "A" && (err != nil || !address.Is4()):
		problems = append(problems, refused("data: %q is no IPv4 address", in.Value))
	case in.Type == "AAAA" && (err != nil || !address.Is6()):
		problems = append(problems, refused("data: %q is no IPv6 address", in.Value))
	case slices.Contains([]string{"CAA", "CNAME", "MX", "NS", "SRV"}, in.Type) && !strings.HasSuffix(in.Value, ".") && value(in.Tag) != "iodef":
		problems = append(problems, refused("data: %q needs to end with a dot (.)", in.Value))
	}
	if name := fqdn(*in.Name, in.Domain); len(name) > 253 || strings.ContainsAny(name, " /@") {
		problems = append(problems, refused("name: %q is no valid record name", *in.Name))
	}
	return errors.Join(problems...)
}

func fqdn(name, domain string) string {
	if name == "@" || name == "" {
		return domain
	}
	return name + "." + domain
}

func addRecords(c *Contents, network *Network) error {
	domains, err := all[DomainState](c, "Domain")
	if err != nil {
		return err
	}
	for _, domain := range domains {
		if domain.IpAddress != nil {
			network.Records = append(network.Records, Record{Name: domain.Name, Type: "A", Value: *domain.IpAddress, TTL: domain.Ttl})
		}
	}
	records, err := all[DnsRecordState](c, "DnsRecord")
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(records)) {
		record := records[id]
		network.Records = append(network.Records, Record{
			Name: record.Fqdn, Type: record.Type, Value: record.Value, TTL: *record.Ttl,
			Flags: value(record.Flags), Tag: value(record.Tag),
			Priority: value(record.Priority), Weight: value(record.Weight), Port: value(record.Port),
		})
	}
	return nil
}
