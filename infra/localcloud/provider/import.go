package provider

import (
	"fmt"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// imported returns the id of the resource that an import names as DigitalOcean's provider wants it: some
// with what they belong to, and a comma. Source: "Import" of each resource in that provider's
// documentation.
func (c *Contents) imported(kind, named string) string {
	owner, name, _ := strings.Cut(named, ",")
	switch kind {
	case "DnsRecord", "SpacesBucket", "UptimeAlert":
		return name
	case "DatabaseDb":
		return owner + "/database/" + name
	case "DatabaseUser":
		return owner + "/user/" + name
	case "DatabaseFirewall": // a cluster has one
		for id := range c.Resources[kind] {
			if strings.HasPrefix(id, named+"/") {
				return id
			}
		}
	case "ReservedIpAssignment":
		for id := range c.Resources[kind] {
			var state ReservedIpAssignmentState
			if c.get(kind, id, &state) == nil && state.IpAddress == owner && fmt.Sprint(state.DropletId) == name {
				return id
			}
		}
	default:
		return named
	}
	return ""
}

// untold takes out of what an import finds everything that DigitalOcean's API does not tell.
func untold(state any) {
	switch state := state.(type) {
	case *DropletState:
		state.UserData, state.SshKeys = nil, nil
		state.DropletAgent, state.GracefulShutdown, state.ResizeDisk = nil, nil, nil
	case *VolumeState:
		state.InitialFilesystemType, state.InitialFilesystemLabel = nil, nil
	case *SpacesBucketState:
		state.Acl, state.ForceDestroy = nil, nil
	case *SpacesKeyState:
		state.SecretKey = ""
	}
}

// withComputed are a change's inputs with what DigitalOcean chose where the program does not say it: that
// is no change. Source: what is optional and computed in the schemas of DigitalOcean's provider.
func withComputed(req p.DiffRequest) property.Map {
	inputs := req.Inputs
	for _, name := range map[string][]string{
		"DatabaseCluster": {"storageSizeMib"},
		"Droplet":         {"ipv6Address", "privateNetworking", "publicNetworking"},
		"ReservedIp":      {"dropletId", "ipAddress"},
		"Vpc":             {"ipRange"},
	}[string(req.Urn.Type().Name())] {
		if old, chosen := req.OldInputs.GetOk(name); chosen && inputs.Get(name).IsNull() {
			inputs = inputs.Set(name, old)
		}
	}
	return inputs
}
