// Package notify tells people what a host found or did: in a Mattermost channel, to a program of
// theirs, or by e-mail. What it says also goes to the journal, and no failure to tell it ever is a
// failure of what was done.
package notify

import (
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/problem"
)

// Config is /etc/townsquare/notify.yaml. Whoever knows an address of a webhook can write there, so
// the file is root's, and the addresses are in no log.
type Config struct {
	Mattermost string        `yaml:"mattermost,omitempty" json:"mattermost,omitempty"` // incoming webhook of a channel
	Webhook    string        `yaml:"webhook,omitempty" json:"webhook,omitempty"`       // takes a POST of JSON, see Message
	Email      []string      `yaml:"email,omitempty" json:"email,omitempty"`           // by the host's sendmail(8)
	Announce   time.Duration `yaml:"announce,omitempty" json:"announce,omitempty"`     // before an unattended run: how long before it begins to say so; 0: not at all

	// For how long a host may not be brought up to date before it raises its voice.
	Late         time.Duration `yaml:"late,omitempty" json:"late,omitempty"`                   // default 720h (30 days)
	SecurityLate time.Duration `yaml:"security_late,omitempty" json:"security_late,omitempty"` // where a security fix waits; default 168h (7 days)

	Heartbeat Heartbeat `yaml:"heartbeat,omitempty" json:"heartbeat,omitzero"`
}

// The defaults of Late and SecurityLate.
const (
	DefaultLate         = 30 * 24 * time.Hour
	DefaultSecurityLate = 7 * 24 * time.Hour
)

// Parse reads YAML, or JSON, which is a part of it; problems call it name and never show an address.
func Parse(name string, data []byte) (Config, error) {
	var c Config
	if strings.TrimSpace(string(data)) == "" {
		return c, nil
	}
	if err := yaml.UnmarshalWithOptions(data, &c, yaml.Strict()); err != nil {
		return Config{}, problem.List{{Where: name, Found: "cannot be read",
			Allowed: "mattermost, webhook (addresses), email (a list), announce, late, security_late (durations such as 10m), heartbeat (check, backup: addresses; fail: such as /fail)"}}
	}
	return c, c.Check(name).Err()
}

// Check looks at the values and returns everything that is wrong with them.
func (c Config) Check(name string) problem.List {
	var found problem.List
	add := func(key, what, allowed string) {
		found = append(found, problem.Problem{Where: name + ": " + key, Found: what, Allowed: allowed})
	}
	for key, address := range map[string]string{"mattermost": c.Mattermost, "webhook": c.Webhook, "heartbeat.check": c.Heartbeat.Check, "heartbeat.backup": c.Heartbeat.Backup} {
		if address != "" && !sendable(address) {
			add(key, "an address that cannot be used", "one that begins with https:// (or http:// on the host itself)")
		}
	}
	for _, to := range c.Email {
		if a, err := mail.ParseAddress(to); err != nil || a.Address != to {
			add("email", fmt.Sprintf("%q", to), "addresses such as ops@example.org")
		}
	}
	if c.Heartbeat.Fail != "" && !failSuffix.MatchString(c.Heartbeat.Fail) {
		add("heartbeat.fail", fmt.Sprintf("%q", c.Heartbeat.Fail), "what is appended to the address after a failure, such as /fail")
	}
	if c.Announce < 0 || c.Announce > time.Hour {
		add("announce", printable.Duration(c.Announce), "up to 1h, such as 10m")
	}
	for key, d := range map[string]time.Duration{"late": c.Late, "security_late": c.SecurityLate} {
		if d != 0 && d < 24*time.Hour {
			add(key, printable.Duration(d), "24h and more, such as 168h")
		}
	}
	return found
}

// sendable admits plain HTTP within the host only: what is said there does not pass a network.
func sendable(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return false
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip.IsLoopback())
}

// IsZero says that nobody is told anything, but the journal.
func (c Config) IsZero() bool { return c.Mattermost == "" && c.Webhook == "" && len(c.Email) == 0 }

// Secrets lists what must never be seen: the addresses of the webhooks, and what in them is the key.
func (c Config) Secrets() []string {
	var all []string
	for _, address := range []string{c.Mattermost, c.Webhook, c.Heartbeat.Check, c.Heartbeat.Backup} {
		u, err := url.Parse(address)
		if address == "" || err != nil {
			continue
		}
		all = append(all, strings.TrimPrefix(u.EscapedPath(), "/"), u.RawQuery)
		if i := strings.LastIndexByte(u.Path, '/'); i >= 0 {
			all = append(all, u.Path[i+1:])
		}
	}
	return all
}
