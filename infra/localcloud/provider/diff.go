package provider

import (
	"context"
	"errors"
	"maps"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	presource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// replacements are, by type, the inputs whose change makes DigitalOcean's provider replace the
// presource. All others are changed in place. Source: ForceNew in the schemas of
// https://github.com/digitalocean/terraform-provider-digitalocean, which that provider is made from.
func replacements() map[string][]string {
	return map[string][]string{
		"DatabaseCluster":      {"backupRestore", "engine", "name", "privateNetworkUuid", "projectId"},
		"DatabaseDb":           {"clusterId", "name"},
		"DatabaseFirewall":     {"clusterId"},
		"DatabaseUser":         {"clusterId", "name"},
		"DnsRecord":            {"domain", "type"},
		"Domain":               {"ipAddress", "name"},
		"Droplet":              {"dropletAgent", "image", "monitoring", "region", "sshKeys", "userData", "vpcUuid"},
		"ProjectResources":     {"project"},
		"ReservedIp":           {"ipAddress", "region"},
		"ReservedIpAssignment": {"dropletId", "ipAddress"},
		"SpacesBucket":         {"region"},
		"SshKey":               {"publicKey"},
		"UptimeAlert":          {"checkId"},
		"Volume":               {"description", "filesystemType", "initialFilesystemLabel", "initialFilesystemType", "name", "region", "snapshotId"},
		"VolumeAttachment":     {"dropletId", "volumeId"},
		"Vpc":                  {"ipRange", "region"},
	}
}

// withDiff compares inputs with inputs, and says which changes need a new presource. It takes the
// place of infer's own, which has no notion of the latter inside lists, and which takes an input
// named version, as a database cluster has, for the provider's.
func withDiff(provider p.Provider) p.Provider {
	table := replacements()
	// Other credentials do not make another cloud: nothing is replaced because of them.
	provider.DiffConfig = func(_ context.Context, req p.DiffRequest) (p.DiffResponse, error) {
		return p.DiffResponse{HasChanges: values(req.OldInputs).Diff(values(req.Inputs)).AnyChanges()}, nil
	}
	provider.Diff = func(_ context.Context, req p.DiffRequest) (p.DiffResponse, error) {
		if err := refuseDiff(req); err != nil {
			return p.DiffResponse{}, err
		}
		changes := values(req.OldInputs).Diff(values(withComputed(req)))
		resp := p.DiffResponse{HasChanges: changes.AnyChanges(), DetailedDiff: map[string]p.PropertyDiff{}}
		replaced := false
		for path, change := range plugin.NewDetailedDiffFromObjectDiff(changes, true) {
			kind := map[plugin.DiffKind]p.DiffKind{plugin.DiffAdd: p.Add, plugin.DiffDelete: p.Delete, plugin.DiffUpdate: p.Update}[change.Kind]
			for _, property := range table[string(req.Urn.Type().Name())] {
				if path == property || strings.HasPrefix(path, property+"[") || strings.HasPrefix(path, property+".") {
					kind, replaced = replacing(kind), true
				}
			}
			if path == "ipv6" && isTrue(req.OldInputs.Get(path)) && !isTrue(req.Inputs.Get(path)) {
				kind, replaced = replacing(kind), true // it cannot be switched off
			}
			resp.DetailedDiff[path] = p.PropertyDiff{Kind: kind, InputDiff: true}
		}
		// Two resources of one name cannot exist at once: a new one with the same name has to wait
		// until the old one is gone, as in the real provider.
		name := req.Inputs.Get("name")
		resp.DeleteBeforeReplace = replaced && name.IsString() && name.Equals(req.OldInputs.Get("name"))
		return resp, nil
	}
	return provider
}

// refuseDiff is what the real provider refuses of a change before it asks the API.
func refuseDiff(req p.DiffRequest) error {
	old, size := req.OldInputs.Get("size"), req.Inputs.Get("size")
	if req.Urn.Type().Name() == "Volume" && old.IsNumber() && size.IsNumber() && size.AsNumber() < old.AsNumber() {
		return errors.New("volumes `size` can only be expanded and not shrunk")
	}
	return nil
}

func isTrue(v property.Value) bool { return v.IsBool() && v.AsBool() }

// values are inputs as the engine's own comparison wants them, without what is the engine's.
func values(inputs property.Map) presource.PropertyMap {
	all := presource.ToResourcePropertyValue(property.New(inputs)).ObjectValue()
	maps.DeleteFunc(all, func(key presource.PropertyKey, _ presource.PropertyValue) bool {
		return strings.HasPrefix(string(key), "__")
	})
	return all
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
