package infra

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// What first boot makes of a fresh Debian is said here and in files(), once: the first-boot script is
// filled from it, and the output "host" has it for `upgrade`, which compares a server with it and puts
// back what differs. So a change also reaches servers that exist.

// Release is the Debian that the images are; see slugs.go.
func (hostData) Release() string { return "trixie" }

// Backports is the archive that Caddy comes from.
func (d hostData) Backports() string { return d.Release() + "-backports" }

// PostgreSQL is the package of a database on this host.
func (hostData) PostgreSQL() string { return "postgresql-17" }

// Packages are what the host needs beyond the image, but for the database.
func (d hostData) Packages() []string {
	list := []string{"ca-certificates", "caddy", "curl", "needrestart", "nftables", "restic", "sudo", "systemd-timesyncd", "zstd"}
	if d.LocalDatabase() {
		return append(list, "postgresql-common") // its settings come before the database
	}
	return append(list, "postgresql-client-17")
}

// Unwanted is a package of the image that would change the system behind the upgrader's back.
func (hostData) Unwanted() string { return "unattended-upgrades" }

// Disabled and Masked are the units that would do the same.
func (hostData) Disabled() []string { return []string{"apt-daily.timer", "apt-daily-upgrade.timer"} }

// Masked is explained above.
func (hostData) Masked() []string { return []string{"apt-daily.service", "apt-daily-upgrade.service"} }

// Enabled are the units that start with the host.
func (d hostData) Enabled() []string {
	list := []string{"caddy.service", "mattermost.service", "nftables.service", "swapfile.swap", "systemd-timesyncd.service", "var-lib-mattermost.mount"}
	if d.LocalDatabase() {
		list = append(list, "postgresql.service", "var-lib-postgresql.mount")
	}
	return list
}

// Directory is one that first boot makes, root's.
type Directory struct{ Path, Group, Mode string }

// Directories are what first boot makes before it mounts the volumes.
func (hostData) Directories() []Directory {
	return []Directory{{"/etc/nftables.d", "root", "0755"}, {"/opt/townsquare", "root", "0755"},
		{"/opt/townsquare/versions", "root", "0755"}, {"/var/lib/townsquare", "root", "0700"}}
}

// FilesRoot is the volume's own directory. Sticky and root's: what root puts beside the server's files
// the server cannot exchange for its own.
func (hostData) FilesRoot() Directory { return Directory{"/var/lib/mattermost", "mattermost", "1770"} }

// Copy is a file that first boot installs for its owner once the package that makes the place is there.
type Copy struct{ From, Path, Owner, Mode string }

// Copies are PostgreSQL's settings.
func (d hostData) Copies() []Copy {
	if !d.LocalDatabase() {
		return nil
	}
	const from, to = "/etc/townsquare/postgresql/", "/etc/postgresql/17/main/"
	return []Copy{
		{from + "postgresql.conf", to + "conf.d/townsquare.conf", "postgres", "0644"},
		{from + "pg_hba.conf", to + "pg_hba.conf", "postgres", "0640"},
		{from + "pg_ident.conf", to + "pg_ident.conf", "postgres", "0640"},
	}
}

// desired is the output "host". There is no secret in it.
func desired(c *Config) (pulumi.Map, error) {
	d := newHostData(c)
	contents := map[string]string{}
	var files, directories pulumi.Array
	add := func(path, owner, mode, content string) {
		files = append(files, pulumi.StringMap{"path": pulumi.String(path), "owner": pulumi.String(owner),
			"mode": pulumi.String(mode), "content": pulumi.String(content)})
	}
	for _, f := range d.files() {
		content, err := f.render()
		if err != nil {
			return nil, err
		}
		contents[f.path] = content
		add(f.path, "root", f.mode, content)
	}
	for _, f := range d.Copies() {
		content, ok := contents[f.From]
		if !ok {
			return nil, fmt.Errorf("%s is to be a copy of %s, which no template makes", f.Path, f.From)
		}
		add(f.Path, f.Owner, f.Mode, content)
	}
	for _, dir := range append(d.Directories(), d.FilesRoot()) {
		directories = append(directories, pulumi.StringMap{"path": pulumi.String(dir.Path), "owner": pulumi.String("root"),
			"group": pulumi.String(dir.Group), "mode": pulumi.String(dir.Mode)})
	}
	packages := d.Packages()
	if d.LocalDatabase() {
		packages = append(packages, d.PostgreSQL())
	}
	return pulumi.Map{
		"files":       files,
		"directories": directories,
		"suite":       pulumi.String(d.Backports()),
		"packages":    pulumi.ToStringArray(packages),
		"unwanted":    pulumi.ToStringArray([]string{d.Unwanted()}),
		"enabled":     pulumi.ToStringArray(d.Enabled()),
		"disabled":    pulumi.ToStringArray(d.Disabled()),
		"masked":      pulumi.ToStringArray(d.Masked()),
		"user":        pulumi.String(sshUser),
		"keys":        pulumi.ToStringArray(d.AdminKeys),
	}, nil
}
