package provider

import (
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// enumeration is an input whose values DigitalOcean lists.
type enumeration struct {
	input   string // the path to it, without indices: inboundRules.protocol
	anyCase bool   // capitals count as small letters
	values  []string
}

// enumerations are the inputs, by type. Source: the validation of DigitalOcean's provider 4.76.0, and
// https://api-engineering.nyc3.digitaloceanspaces.com/spec-ci/DigitalOcean-public.v2.yaml
func enumerations() map[string][]enumeration {
	protocols := []string{"tcp", "udp", "icmp"}
	days := []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
	return map[string][]enumeration{
		"DatabaseCluster":  {{input: "maintenanceWindows.day", anyCase: true, values: days}},
		"DatabaseFirewall": {{input: "rules.type", values: []string{"droplet", "k8s", "ip_addr", "tag", "app"}}},
		"DnsRecord": {
			{input: "type", values: []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "TXT", "SRV"}},
			{input: "tag", values: []string{"issue", "issuewild", "iodef"}},
		},
		"Droplet": {
			{input: "backupPolicy.plan", values: []string{"daily", "weekly"}},
			{input: "backupPolicy.weekday", values: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
		},
		"Firewall": {{input: "inboundRules.protocol", values: protocols}, {input: "outboundRules.protocol", values: protocols}},
		"MonitorAlert": {
			{input: "compare", values: []string{"GreaterThan", "LessThan"}},
			{input: "window", values: []string{"5m", "10m", "30m", "1h"}},
			{input: "type", values: monitored()},
		},
		"Project": {{input: "environment", anyCase: true, values: []string{"development", "staging", "production"}}},
		"SpacesBucket": {
			{input: "acl", values: []string{"private", "public-read"}},
			{input: "region", anyCase: true, values: spacesRegions()},
		},
		"SpacesKey": {{input: "grants.permission", values: []string{"read", "readwrite", "fullaccess"}}},
		"UptimeAlert": {
			{input: "type", values: []string{"latency", "down", "down_global", "ssl_expiry"}},
			{input: "comparison", values: comparisons()},
			{input: "period", values: []string{"2m", "3m", "5m", "10m", "15m", "30m", "1h"}},
		},
		"UptimeCheck": {
			{input: "type", values: []string{"ping", "http", "https"}},
			{input: "regions", values: []string{"us_east", "us_west", "eu_west", "se_asia"}},
		},
		"Volume": {
			{input: "initialFilesystemType", values: []string{"ext4", "xfs"}},
			{input: "filesystemType", values: []string{"ext4", "xfs"}},
		},
	}
}

func comparisons() []string { return []string{"greater_than", "less_than"} }

// monitored are the measures that alerts can watch.
func monitored() (types []string) {
	for prefix, names := range map[string]string{
		"v1/insights/droplet/": "load_1 load_5 load_15 memory_utilization_percent disk_utilization_percent cpu disk_read disk_write " +
			"public_outbound_bandwidth public_inbound_bandwidth private_outbound_bandwidth private_inbound_bandwidth",
		"v1/insights/lbaas/": "avg_cpu_utilization_percent connection_utilization_percent droplet_health tls_connections_per_second_utilization_percent " +
			"increase_in_http_error_rate_percentage_5xx increase_in_http_error_rate_percentage_4xx increase_in_http_error_rate_count_5xx " +
			"increase_in_http_error_rate_count_4xx high_http_request_response_time high_http_request_response_time_50p " +
			"high_http_request_response_time_95p high_http_request_response_time_99p",
		"v1/dbaas/alerts/": "load_15_alerts cpu_alerts memory_utilization_alerts disk_utilization_alerts",
	} {
		for _, name := range strings.Fields(names) {
			types = append(types, prefix+name)
		}
	}
	slices.Sort(types)
	return types
}

// checkEnumerations refuses values that DigitalOcean does not know.
func checkEnumerations(kind string, inputs property.Map) (failures []p.CheckFailure) {
	for _, e := range enumerations()[kind] {
		path := strings.Split(e.input, ".")
		for _, given := range texts(inputs.Get(path[0]), path[1:]) {
			if e.anyCase {
				given = strings.ToLower(given)
			}
			failures = append(failures, oneOf(path[0], given, e.values...)...)
		}
	}
	return failures
}

// texts are the values at a path; of a list those of all its items.
func texts(v property.Value, path []string) (found []string) {
	switch {
	case v.IsArray():
		for _, item := range v.AsArray().All {
			found = append(found, texts(item, path)...)
		}
	case v.IsMap() && len(path) > 0:
		found = texts(v.AsMap().Get(path[0]), path[1:])
	case v.IsString() && len(path) == 0:
		found = []string{v.AsString()}
	}
	return found
}

func oneOf(property, given string, allowed ...string) []p.CheckFailure {
	if slices.Contains(allowed, given) {
		return nil
	}
	return []p.CheckFailure{fails(property, "%q is not one of %s", given, strings.Join(allowed, ", "))}
}
