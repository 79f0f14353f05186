// Package provider is a Pulumi provider named digitalocean whose cloud is this computer. A program
// written for DigitalOcean runs on it unchanged: droplets, database clusters, volumes, firewalls,
// reserved addresses, DNS records and buckets are real, the rest is recorded. Names and types of all
// properties are those of pulumi-digitalocean 4.76.0.
package provider

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/middleware/schema"
)

// Name is the name of the provider's package, and Version the release whose interface it has.
const (
	Name    = "digitalocean"
	Version = "4.76.0"
)

// New returns the provider. Nothing is opened until the first resource is worked on, so its schema
// can be read anywhere.
func New(cloud *Cloud) p.Provider {
	return withTimeouts(withIDs(withDiff(infer.Provider(infer.Options{
		Metadata: schema.Metadata{
			DisplayName: "DigitalOcean on this computer",
			Description: "The resources of DigitalOcean that Townsquare uses, made of machines on this computer.",
			Publisher:   "Townsquare",
		},
		Config: infer.Config(&Config{cloud: cloud}),
		Resources: []infer.InferredResource{
			newDatabaseClusters(cloud), newDatabaseDbs(cloud), newDatabaseFirewalls(cloud), newDatabaseUsers(cloud),
			newDnsRecords(cloud), newDomains(cloud),
			newDroplets(cloud), newSshKeys(cloud), newVolumes(cloud), newVolumeAttachments(cloud),
			newFirewalls(cloud), newReservedIps(cloud), newReservedIpAssignments(cloud), newVpcs(cloud),
			newMonitorAlerts(cloud), newUptimeAlerts(cloud), newUptimeChecks(cloud),
			newProjects(cloud), newProjectResources(cloud),
			newSpacesBuckets(cloud), newSpacesKeys(cloud),
		},
		Functions: []infer.InferredFunction{infer.Function(&DatabaseCa{cloud: cloud})},
	}))))
}

// deleteTimeouts are, by type, how long DigitalOcean's provider takes for a deletion if the program says
// nothing. Source: Timeouts in the schemas of
// https://github.com/digitalocean/terraform-provider-digitalocean; 20 minutes are the plugin SDK's default.
func deleteTimeouts(kind string) time.Duration {
	switch kind {
	case "Droplet":
		return time.Minute
	case "Project":
		return 3 * time.Minute
	case "Vpc":
		return 2 * time.Minute
	default:
		return 20 * time.Minute
	}
}

// withTimeouts ends a deletion when its time is over.
func withTimeouts(provider p.Provider) p.Provider {
	remove := provider.Delete
	provider.Delete = func(ctx context.Context, req p.DeleteRequest) error {
		limit := time.Duration(req.Timeout * float64(time.Second))
		if limit == 0 {
			limit = deleteTimeouts(string(req.Urn.Type().Name()))
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return remove(ctx, req)
	}
	return provider
}

// Config is the provider's configuration: the cloud, and what the real provider takes. Of that only the token
// is looked at, and any will do.
type Config struct {
	Cloud             string `pulumi:"cloud,optional"`
	Token             string `pulumi:"token,optional" provider:"secret"`
	SpacesAccessId    string `pulumi:"spacesAccessId,optional" provider:"secret"`
	SpacesSecretKey   string `pulumi:"spacesSecretKey,optional" provider:"secret"`
	ApiEndpoint       string `pulumi:"apiEndpoint,optional"`
	SpacesEndpoint    string `pulumi:"spacesEndpoint,optional"`
	RequestsPerSecond string `pulumi:"requestsPerSecond,optional"`

	cloud *Cloud
}

// Configure keeps the cloud's name for the first resource. Without a token the real provider starts as well,
// and the API refuses every request.
func (c *Config) Configure(context.Context) error {
	c.cloud.Name, c.cloud.denied = c.Cloud, nil
	if cmp.Or(c.Token, os.Getenv("DIGITALOCEAN_TOKEN"), os.Getenv("DIGITALOCEAN_ACCESS_TOKEN")) == "" {
		c.cloud.denied = errors.New("401: Unable to authenticate you")
	}
	return nil
}
