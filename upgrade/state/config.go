package state

import (
	"time"

	"townsquare/upgrade/schedule"
)

// Where the host keeps what it was told; see host.Deliver for who writes them.
const (
	ConfigDir  = "/etc/townsquare"
	ConfigFile = ConfigDir + "/upgrade.yaml"       // Config
	EnvFile    = ConfigDir + "/mattermost.env"     // the service's environment: database URL, site URL; 0600
	AdminFile  = ConfigDir + "/database-admin.url" // URL of the role that may create databases; 0600
	CAFile     = ConfigDir + "/database-ca.pem"    // of a managed database
	NotifyFile = ConfigDir + "/notify.yaml"        // whom to tell, see notify.Config; webhooks are secrets: 0600
	HostEnv    = ConfigDir + "/host.env"           // written by the host's first boot; no secrets
	ReadyFile  = ConfigDir + "/ready"              // written last by the host's first boot
)

// Config is /etc/townsquare/upgrade.yaml: what an operator decides about upgrades of one host. It
// holds no secret. Zero fields mean the default.
type Config struct {
	Edition  string            `yaml:"edition,omitempty" json:"edition,omitempty"`   // "team" (default) or "enterprise"; only for a first install
	Track    string            `yaml:"track,omitempty" json:"track,omitempty"`       // "esr" (default), "latest", or a minor such as "11.7"
	Window   string            `yaml:"window,omitempty" json:"window,omitempty"`     // when unattended work may begin, see schedule.Allowed; empty: at night
	Watch    time.Duration     `yaml:"watch,omitempty" json:"watch,omitempty"`       // how long a new version is watched; default 60s
	Patience time.Duration     `yaml:"patience,omitempty" json:"patience,omitempty"` // how long a new version may migrate the database; default 10m
	Skip     map[string]string `yaml:"skip,omitempty" json:"skip,omitzero"`          // versions never to install, each with its reason; a stack's come from FleetFile
	Releases Sources           `yaml:"releases,omitempty" json:"releases,omitempty"` // where releases come from; empty: the vendor's own pages
	URL      string            `yaml:"url,omitempty" json:"url,omitempty"`           // the public URL, checked after an upgrade

	// Versions that failed on other stacks' servers, and how, as the last command on several stacks
	// found it. Kept apart from Skip, as nobody decided it and --retry-failed takes them all the same.
	Elsewhere map[string]string `yaml:"failed_elsewhere,omitempty" json:"failed_elsewhere,omitzero"`

	Stack string `yaml:"stack,omitempty" json:"stack,omitempty"` // as an operator last named it: what to type in notifications names it, too

	Backup Backups `yaml:"backup,omitempty" json:"backup,omitzero"` // where backups go; without a repository there are none

	Freeze         []string      `yaml:"freeze,omitempty" json:"freeze,omitempty"`                   // days without unattended work, such as "2026-12-20..2027-01-06", in the window's zone
	SecurityWithin time.Duration `yaml:"security_within,omitempty" json:"security_within,omitempty"` // how long a security fix may wait for the window; then any night will do
	Automatic      string        `yaml:"automatic,omitempty" json:"automatic,omitempty"`             // how far an unattended upgrade goes: "patch" (default), "minor", "any"; see release.Policy
	Migrations     string        `yaml:"migrations,omitempty" json:"migrations,omitempty"`           // "auto" (default): while the old version serves, where that is safe; "offline": of them only indexes
	Timers         *bool         `yaml:"timers,omitempty" json:"timers,omitempty"`                   // whether the host looks after itself by systemd timers; not said: as it is

	Ignored []string `yaml:"-" json:"-"` // by ParseConfig: malformed entries of generated keys, a line each
}

// Calendar is when unattended work may be done. Of a Config that Check found wrong it has what can be read.
func (c Config) Calendar() schedule.Calendar {
	calendar := schedule.Calendar{SecurityWithin: c.SecurityWithin}
	calendar.Window, _ = schedule.ParseWindow(c.Window)
	for _, text := range c.Freeze {
		if p, err := schedule.ParsePeriod(text); err == nil {
			calendar.Freeze = append(calendar.Freeze, p)
		}
	}
	return calendar
}

// Sources has the fields of release.Sources, so that one converts to the other.
type Sources struct {
	Archive     string `yaml:"archive,omitempty" json:"archive,omitempty"`
	Policy      string `yaml:"policy,omitempty" json:"policy,omitempty"`
	GitHub      string `yaml:"github,omitempty" json:"github,omitempty"`
	Key         string `yaml:"key,omitempty" json:"key,omitempty"`
	Fingerprint string `yaml:"fingerprint,omitempty" json:"fingerprint,omitempty"`
}

// The values of Config.Migrations.
const (
	MigrateAuto    = "auto"
	MigrateOffline = "offline"
)

// DefaultWatch is how long a new version is watched before the run is committed.
const DefaultWatch = 60 * time.Second

// DefaultPatience is how long a new version may be at work on the database before it is ready.
const DefaultPatience = 10 * time.Minute
