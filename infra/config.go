package infra

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"townsquare/infra/slug"
)

// namespace is the prefix of every key of this program in Pulumi.<stack>.yaml.
const namespace = "townsquare"

// Where the names in a site's address are kept.
const (
	DNSCreate    = "create"    // this stack makes the zone at DigitalOcean, and the records
	DNSExisting  = "existing"  // the zone is at DigitalOcean already; the stack adds records
	DNSElsewhere = "elsewhere" // another provider; the stack only prints what to enter there
)

// Where the database runs.
const (
	DatabaseManaged = "managed" // DigitalOcean's managed PostgreSQL
	DatabaseLocal   = "local"   // PostgreSQL 17 on the droplet, on a volume of its own
)

// LetsEncrypt is the ACME directory that certificates come from if no other is set.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Config is everything a stack can set. Each field is one key of Pulumi.<stack>.yaml, whose name
// is the field's tag; Pulumi.prod.yaml shows them all. A Config from Load is valid.
type Config struct {
	Name     string   `key:"name"`     // prefix of every resource; default townsquare-<stack>
	Domain   string   `key:"domain"`   // required: the DNS zone, such as example.org
	Host     string   `key:"host"`     // name in it, default chat; @ is the domain itself
	DNS      string   `key:"dns"`      // create, existing (default) or elsewhere
	CAA      []string `key:"caa"`      // authorities that may issue certificates; default letsencrypt.org; none: no record
	Region   string   `key:"region"`   // required: a data centre, such as fra1
	Size     string   `key:"size"`     // droplet, default s-4vcpu-8gb; a change is a downtime of several minutes: see resizing
	Image    string   `key:"image"`    // default debian-13-x64; a change is for the next droplet only
	VPCRange string   `key:"vpcRange"` // private CIDR /16 to /28; default: DigitalOcean chooses

	SSHKeys []SSHKey `key:"sshKeys"` // required: public keys of operators
	SSHFrom []string `key:"sshFrom"` // required: CIDRs that may reach port 22
	HostKey HostKey  `key:"hostKey"` // required, secret: made by scripts/new-host-key.sh

	Database         string `key:"database"`         // managed (default) or local
	DatabaseSize     string `key:"databaseSize"`     // managed: default db-s-1vcpu-2gb
	DatabaseNodes    int    `key:"databaseNodes"`    // managed: 1 (default) to 3, standbys included
	DatabaseVersion  string `key:"databaseVersion"`  // managed: PostgreSQL, default 17
	DatabaseVolumeGB int    `key:"databaseVolumeGB"` // local: volume of the database, GiB, default 25
	MaintenanceDay   string `key:"maintenanceDay"`   // managed: default sunday
	MaintenanceHour  string `key:"maintenanceHour"`  // managed: UTC, HH:00, default 03:00

	VolumeGB       int    `key:"volumeGB"`       // volume of files, config, plugins; GiB, default 50
	DropletBackups string `key:"dropletBackups"` // off, weekly (default) or daily images by DigitalOcean

	Backups        bool   `key:"backups"`        // bucket for backups, default true
	BackupBucket   string `key:"backupBucket"`   // default <host>-<domain>-backups with dashes, as they were at the first up
	BackupRegion   string `key:"backupRegion"`   // Spaces region; default the one nearest to region
	BackupKeepDays int    `key:"backupKeepDays"` // how long what was deleted or replaced is kept, default 30
	BackupKeep     Keep   `key:"backupKeep"`     // how many backups stay: last, daily, weekly, monthly; default 5, 7, 5, 12
	BackupPassword string `key:"backupPassword"` // secret: encrypts the backups; made by scripts/new-backup-password.sh

	AlertEmails   []string `key:"alertEmails"`   // required: verified addresses of the DigitalOcean team
	ACMEEmail     string   `key:"acmeEmail"`     // for the certificate authority; default the first alert address
	ACMEDirectory string   `key:"acmeDirectory"` // default Let's Encrypt

	Edition  string   `key:"edition"`  // team (default) or enterprise; never changed by an upgrade
	Track    string   `key:"track"`    // esr (default), latest, or a minor such as 11.7
	Window   string   `key:"window"`   // when unattended work may begin: "Sun 03:00-05:00 Europe/Berlin"; default at night (01:00-05:00 UTC)
	Releases Releases `key:"releases"` // where releases are found; default the vendor

	Freeze         []string `key:"freeze"`         // days without unattended work: "2026-12-20..2027-01-06", in the window's zone
	SecurityWithin string   `key:"securityWithin"` // how long a security fix may wait for the window: "72h"; default as long as it takes
	Automatic      string   `key:"automatic"`      // how far an unattended upgrade goes: patch (default), minor, any
	Timers         bool     `key:"timers"`         // whether the server looks after itself, default true
	Notify         string   `key:"notify"`         // secret, JSON: mattermost, webhook, email, announce, heartbeat; default: no notifications

	Environment string `key:"environment"` // of the DigitalOcean project: Production (default), Staging, Development
	Protect     bool   `key:"protect"`     // default true; false only where nothing needs to be kept

	warnings                  []string // about settings that are accepted
	bucketNamed, bucketPlaced bool     // backupBucket and backupRegion are set, not made from other settings
}

// Releases are the addresses an upgrade reads; an empty one is the vendor's own.
type Releases struct {
	Archive     string `json:"archive"`     // version archive
	Policy      string `json:"policy"`      // release policy, with the end of support
	GitHub      string `json:"github"`      // list of releases
	Key         string `json:"key"`         // signing key
	Fingerprint string `json:"fingerprint"` // of that key: 40 hex digits
}

// Keep is how many backups stay: the last ones, and the newest of so many days, weeks and months.
type Keep struct {
	Last    count `json:"last"`
	Daily   count `json:"daily"`
	Weekly  count `json:"weekly"`
	Monthly count `json:"monthly"`
}

// SiteHost is the name people type, such as chat.example.org.
func (c *Config) SiteHost() string {
	if c.Host == "@" {
		return c.Domain
	}
	return c.Host + "." + c.Domain
}

// URL is the address of the site, without a slash at its end.
func (c *Config) URL() string { return "https://" + c.SiteHost() }

// Load reads and checks the stack's configuration. Its error is a Problems: everything wrong with
// it at once. Nothing is checked later than here: an error inside an ApplyT comes too late.
func Load(ctx *pulumi.Context) (*Config, error) {
	src := source{
		get:     ctx.GetConfig,
		secret:  ctx.IsConfigSecret,
		keys:    keysFromEnvironment(os.Getenv("PULUMI_CONFIG")),
		env:     os.Getenv,
		numbers: numbersOf(filepath.Join(ctx.RootDirectory(), "Pulumi."+ctx.Stack()+".yaml")),
	}
	c, err := parse(src, ctx.Stack())
	var problems Problems
	if errors.As(err, &problems) {
		return nil, problems.in(ctx.Stack())
	}
	if err != nil {
		return nil, err
	}
	for _, warning := range c.warnings {
		if err := ctx.Log.Warn(inStack(warning, ctx.Stack()), nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// keysFromEnvironment lists the keys of the stack as the engine hands them to a program started
// by it; empty for a program that runs inside another, where the engine does not say.
func keysFromEnvironment(config string) []string {
	var all map[string]string
	if err := json.Unmarshal([]byte(config), &all); err != nil {
		return nil
	}
	keys := make([]string, 0, len(all))
	for key := range all {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// parse is Load without an engine.
func parse(src source, stack string) (*Config, error) {
	r := &reader{source: src}
	c := &Config{}
	c.Name = r.text("name", namespace+"-"+strings.ToLower(stack), checkResourceName)
	c.Domain = r.required("domain", "example.org", checkDomain, plainName)
	c.Host = r.text("host", "chat", checkHost, plainName, within(c.Domain))
	c.DNS = r.choice("dns", DNSExisting, DNSCreate, DNSExisting, DNSElsewhere)
	c.Region = r.requiredChoice("region", "fra1", slug.Names(slug.Regions)...)
	c.Size = r.text("size", usualSize, checkSize)
	c.Image = r.choice("image", "debian-13-x64", images...)
	c.VPCRange = r.text("vpcRange", "", checkVPCRange)

	c.SSHKeys = r.sshKeys("sshKeys")
	c.SSHFrom = r.list("sshFrom", "203.0.113.7/32", checkCIDR, plainCIDR)
	c.HostKey = r.hostKey("hostKey")

	c.Database = r.choice("database", DatabaseManaged, DatabaseManaged, DatabaseLocal)
	c.DatabaseSize = r.text("databaseSize", usualDatabaseSize, checkDatabaseSize)
	c.DatabaseNodes = r.number("databaseNodes", 1, 1, slug.Databases[c.DatabaseSize].Nodes())
	c.DatabaseVersion = r.choice("databaseVersion", "17", slug.DatabaseVersions...)
	c.DatabaseVolumeGB = r.number("databaseVolumeGB", 25, 10, 16384)
	c.MaintenanceDay = r.choice("maintenanceDay", "sunday", days...)
	c.MaintenanceHour = r.text("maintenanceHour", "03:00", checkHour)

	c.VolumeGB = r.number("volumeGB", 50, 10, 16384)
	c.DropletBackups = r.choice("dropletBackups", "weekly", "off", "weekly", "daily")

	c.Backups = r.boolean("backups", true)
	c.BackupRegion = r.choice("backupRegion", slug.Regions[c.Region], slug.SpacesRegions...)
	c.BackupBucket = r.text("backupBucket", bucketName(c), checkBucket)
	_, c.bucketNamed = r.lookup("backupBucket")
	_, c.bucketPlaced = r.lookup("backupRegion")
	c.BackupKeepDays = r.number("backupKeepDays", 30, 1, 3650)
	c.BackupKeep = r.keep("backupKeep", Keep{Last: 5, Daily: 7, Weekly: 5, Monthly: 12})
	c.BackupPassword = r.backupPassword("backupPassword", c.Backups)
	r.credentials(c.Backups)

	c.AlertEmails = r.list("alertEmails", "ops@example.org", checkEmail)
	c.ACMEEmail = r.text("acmeEmail", first(c.AlertEmails), checkEmail)
	c.ACMEDirectory = r.text("acmeDirectory", LetsEncrypt, checkURL)
	c.CAA = r.authorities("caa", c.ACMEDirectory)

	c.Edition = r.choice("edition", "team", "team", "enterprise")
	c.Track = r.text("track", "esr", checkTrack)
	c.Window = r.text("window", "", checkWindow)
	c.Releases = r.releases("releases")
	c.Freeze = r.optional("freeze", "2026-12-20..2027-01-06", checkPeriod, plainDay)
	c.SecurityWithin = r.text("securityWithin", "", checkSecurityWithin)
	c.Automatic = r.choice("automatic", "patch", "patch", "minor", "any")
	c.Timers = r.boolean("timers", true)
	c.Notify = r.notify("notify")

	c.Environment = r.choice("environment", "Production", "Production", "Staging", "Development")
	c.Protect = r.boolean("protect", true)

	r.unquoted(c.Track)
	r.whole(c)
	r.unknown()
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	c.warnings = r.warnings
	return c, nil
}

// bucketName is the end of the site's name that fits, as a bucket may have it.
func bucketName(c *Config) string {
	name := strings.ReplaceAll(c.SiteHost(), ".", "-") + "-backups"
	return strings.TrimLeft(name[max(0, len(name)-63):], "-")
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
