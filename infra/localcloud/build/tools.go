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

// Versitygw is an S3 server over a directory: the local cloud's object storage. Measured against the other one there is
// as a Go module, minio (2026-11-22): 588 packages to its 1300, 2 min 16 s cold on two busy cores, 45 MB; it keeps
// versions and opens a bucket to one key only; and it is maintained, which the other no longer is.
func Versitygw() Tool {
	return Tool{
		Name: "versitygw", Module: "versitygw", What: "versitygw 1.8.0", Why: "the S3 server that keeps the local cloud's backups",
		Usual: 2*time.Minute + 20*time.Second, Programs: []string{"versitygw"},
	}
}
