package provider

import (
	"context"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
)

// replacements are, by type, the inputs whose change makes DigitalOcean's provider replace the
// resource. All others are changed in place. Source: ForceNew in the schemas of
// https://github.com/digitalocean/terraform-provider-digitalocean, which that provider is made from.
func replacements() map[string][]string {
	return map[string][]string{
		"DatabaseCluster":      {"backupRestore", "engine", "name", "privateNetworkUuid"},
		"DatabaseDb":           {"clusterId", "name"},
		"DatabaseFirewall":     {"clusterId"},
		"DatabaseUser":         {"clusterId", "name"},
		"DnsRecord":            {"domain", "type"},
		"Domain":               {"ipAddress", "name"},
		"Droplet":              {"dropletAgent", "image", "monitoring", "region", "sshKeys", "userData", "vpcUuid"},
		"ProjectResources":     {"project"},
		"ReservedIp":           {"ipAddress", "region"},
		"ReservedIpAssignment": {"dropletId", "ipAddress"},
		"SpacesBucket":         {"name", "region"},
		"SshKey":               {"publicKey"},
		"UptimeAlert":          {"checkId"},
		"Volume":               {"description", "filesystemType", "initialFilesystemLabel", "initialFilesystemType", "name", "region", "snapshotId"},
		"VolumeAttachment":     {"dropletId", "volumeId"},
		"Vpc":                  {"ipRange", "region"},
	}
}

// withReplacements makes the changes that need a new resource say so.
func withReplacements(provider p.Provider) p.Provider {
	diff, table := provider.Diff, replacements()
	provider.Diff = func(ctx context.Context, req p.DiffRequest) (p.DiffResponse, error) {
		// Inputs are compared with inputs: a state also has what the cloud filled in, such as an
		// address, and would differ for ever.
		req.State = req.OldInputs
		resp, err := diff(ctx, req)
		if err != nil {
			return resp, err
		}
		replaced := false
		for path, change := range resp.DetailedDiff {
			for _, property := range table[string(req.Urn.Type().Name())] {
				if path == property || strings.HasPrefix(path, property+"[") || strings.HasPrefix(path, property+".") {
					change.Kind = replacing(change.Kind)
					resp.DetailedDiff[path] = change
					replaced = true
				}
			}
		}
		// Two resources of one name cannot exist at once: a new one with the same name has to wait
		// until the old one is gone, as in the real provider.
		name := req.Inputs.Get("name")
		if replaced && name.IsString() && name.Equals(req.OldInputs.Get("name")) {
			resp.DeleteBeforeReplace = true
		}
		return resp, nil
	}
	return provider
}

func replacing(kind p.DiffKind) p.DiffKind {
	switch kind {
	case p.Add:
		return p.AddReplace
	case p.Delete:
		return p.DeleteReplace
	case p.Update:
		return p.UpdateReplace
	default:
		return kind
	}
}
