package build

import "time"

// Pulumi is the engine's command line. Its language plug-in for Go is not to be had as a Go module, so the local
// cloud runs infra/ through the Automation API; that refuses an engine that does not know its own version, hence the
// stamp.
func Pulumi() Tool {
	return Tool{
		Name: "pulumi", Module: "pulumi", What: "pulumi 3.256.0", Why: "the engine that runs infra/",
		Usual: 6 * time.Minute, Programs: []string{"pulumi"},
		Stamps: map[string]string{"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": "v3.256.0"},
	}
}

// Pebble is a small ACME server: what Caddy asks for certificates in the local cloud.
func Pebble() Tool {
	return Tool{
		Name: "pebble", Module: "pebble", What: "pebble 2.10.1", Why: "the ACME server that issues the local cloud's certificates",
		Usual: 40 * time.Second, Programs: []string{"pebble"},
	}
}
