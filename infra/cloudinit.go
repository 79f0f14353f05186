package infra

import (
	"embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/goccy/go-yaml"
)

// HostFormat is the number in /etc/townsquare/ready: which shape of host `upgrade` finds.
const HostFormat = 1

// userDataLimit is how many bytes of user data DigitalOcean takes.
// Source: https://docs.digitalocean.com/reference/api/digitalocean/#tag/Droplets/operation/droplets_create
const userDataLimit = 64 << 10

//go:embed cloudinit
var cloudInitFiles embed.FS

// hostData is what the templates of a host can say. Only HostKey is a secret.
type hostData struct {
	Name, SiteHost, URL      string
	AdminKeys                []string
	HostKey                  HostKey
	FilesVolume              string
	DatabaseVolume           string // empty: the database is managed
	DatabaseMode             string
	ACMEEmail, ACMEDirectory string
	MemoryMB                 int
	MaxConnections           int // of Mattermost to its database
}

func (d hostData) LocalDatabase() bool        { return d.DatabaseVolume != "" }
func (d hostData) Format() int                { return HostFormat }
func (d hostData) SharedBuffersMB() int       { return d.MemoryMB / 8 }
func (d hostData) CacheMB() int               { return d.MemoryMB / 2 }
func (d hostData) PostgreSQLConnections() int { return d.MaxConnections + reservedConnections }

// mountData is one volume's unit.
type mountData struct{ Description, Volume, Where string }

// hostFile is one file of the host. Its content is a template in cloudinit/.
type hostFile struct {
	path, template, mode string
	data                 any
}

func (d hostData) files() []hostFile {
	const private, public, program = "0600", "0644", "0755"
	files := []hostFile{
		{"/etc/apt/preferences.d/townsquare", "apt-preferences", public, d},
		{"/etc/caddy/Caddyfile", "Caddyfile", public, d},
		{"/etc/needrestart/conf.d/townsquare.conf", "needrestart.conf", public, d},
		{"/etc/nftables.conf", "nftables.conf", program, d},
		{"/etc/ssh/sshd_config.d/10-townsquare.conf", "sshd.conf", private, d},
		{"/etc/sysctl.d/60-townsquare.conf", "sysctl.conf", public, d},
		{"/etc/systemd/journald.conf.d/townsquare.conf", "journald.conf", public, d},
		{"/etc/systemd/system/caddy.service.d/townsquare.conf", "caddy.conf", public, d},
		{"/etc/systemd/system/do-agent.service.d/townsquare.conf", "do-agent.conf", public, d},
		{"/etc/systemd/system/mattermost.service", "mattermost.service", public, d},
		{"/etc/systemd/system/swapfile.swap", "swapfile.swap", public, d},
		{"/etc/systemd/system/townsquare-swapfile.service", "swapfile.service", public, d},
		{"/etc/systemd/system/var-lib-mattermost.mount", "volume.mount", public,
			mountData{"Volume of Mattermost's files", d.FilesVolume, "/var/lib/mattermost"}},
		{"/etc/tmpfiles.d/townsquare.conf", "tmpfiles.conf", public, d},
		{"/etc/townsquare/host.env", "host.env", public, d},
		{"/etc/townsquare/maintenance/index.html", "maintenance.html", public, d},
		{"/usr/local/lib/townsquare/admit-do-agent", "admit-do-agent", program, d},
		{"/usr/local/lib/townsquare/first-boot", "first-boot", program, d},
	}
	if d.LocalDatabase() {
		files = append(files,
			hostFile{"/etc/postgresql-common/createcluster.d/townsquare.conf", "createcluster.conf", public, d},
			hostFile{"/etc/systemd/system/postgresql@17-main.service.d/townsquare.conf", "postgresql.service.conf", public, d},
			hostFile{"/etc/systemd/system/var-lib-postgresql.mount", "volume.mount", public,
				mountData{"Volume of the database", d.DatabaseVolume, "/var/lib/postgresql"}},
			hostFile{"/etc/townsquare/postgresql/pg_hba.conf", "pg_hba.conf", public, d},
			hostFile{"/etc/townsquare/postgresql/pg_ident.conf", "pg_ident.conf", public, d},
			hostFile{"/etc/townsquare/postgresql/postgresql.conf", "postgresql.conf", public, d},
			hostFile{"/etc/townsquare/postgresql/roles.sql", "roles.sql", public, d},
		)
	}
	return files
}

// render fills a file's template.
func (f hostFile) render() (string, error) {
	text, err := cloudInitFiles.ReadFile("cloudinit/" + f.template)
	if err != nil {
		return "", fmt.Errorf("read template of %s: %w", f.path, err)
	}
	t, err := template.New(f.template).Option("missingkey=error").
		Funcs(template.FuncMap{"join": func(words []string) string { return strings.Join(words, " ") }}).Parse(string(text))
	if err != nil {
		return "", fmt.Errorf("parse template of %s: %w", f.path, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, f.data); err != nil {
		return "", fmt.Errorf("fill template of %s: %w", f.path, err)
	}
	return b.String(), nil
}

// Keys of cloud-config: https://docs.cloud-init.io/en/latest/reference/modules.html
type cloudConfig struct {
	Hostname        string            `yaml:"hostname"`
	ManageEtcHosts  string            `yaml:"manage_etc_hosts"`
	Timezone        string            `yaml:"timezone"`
	DisableRoot     bool              `yaml:"disable_root"`
	SSHPasswordAuth bool              `yaml:"ssh_pwauth"`
	Users           []cloudUser       `yaml:"users"`
	SSHDeleteKeys   bool              `yaml:"ssh_deletekeys"`
	SSHKeys         map[string]string `yaml:"ssh_keys"`
	SSH             map[string]bool   `yaml:"ssh"`
	NoFingerprints  bool              `yaml:"no_ssh_fingerprints"`
	WriteFiles      []cloudFile       `yaml:"write_files"`
	RunCommands     [][]string        `yaml:"runcmd"`
}

type cloudUser struct {
	Name         string   `yaml:"name"`
	Gecos        string   `yaml:"gecos"`
	Shell        string   `yaml:"shell"`
	Sudo         string   `yaml:"sudo"`
	LockPassword bool     `yaml:"lock_passwd"`
	Keys         []string `yaml:"ssh_authorized_keys"`
}

type cloudFile struct {
	Path        string `yaml:"path"`
	Permissions string `yaml:"permissions"`
	Content     string `yaml:"content"`
}

// userData is the cloud-config that makes a fresh Debian a host. An error is a mistake in a template;
// its size is checked with the configuration.
func userData(d hostData) (string, error) {
	config := cloudConfig{
		Hostname:       d.Name,
		ManageEtcHosts: "localhost",
		Timezone:       "Etc/UTC",
		DisableRoot:    true,
		Users: []cloudUser{{
			Name: sshUser, Gecos: "Operators", Shell: "/bin/bash", Sudo: "ALL=(ALL) NOPASSWD:ALL",
			LockPassword: true, Keys: d.AdminKeys,
		}},
		// The image's own host keys go, and only the pinned one comes.
		SSHDeleteKeys: true,
		SSHKeys: map[string]string{
			"ed25519_private": d.HostKey.Private,
			"ed25519_public":  d.HostKey.Public,
		},
		SSH:            map[string]bool{"emit_keys_to_console": false},
		NoFingerprints: true,
		RunCommands:    [][]string{{"/usr/local/lib/townsquare/first-boot"}},
	}
	for _, f := range d.files() {
		content, err := f.render()
		if err != nil {
			return "", err
		}
		config.WriteFiles = append(config.WriteFiles, cloudFile{f.path, f.mode, content})
	}
	text, err := yaml.MarshalWithOptions(config, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return "", fmt.Errorf("write cloud-config: %w", err)
	}
	return "#cloud-config\n" + string(text), nil
}
