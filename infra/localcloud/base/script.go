package base

import (
	"fmt"
	"sort"
	"strings"
)

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// download fetches what cloud-init will install. Backports is named only for
// that moment: on a real server cloud-init adds it, so it must here too.
const download = `
echo "I: downloading what cloud-init will install"
echo "deb [signed-by=%[1]s] %[2]s %[3]s-backports main" > "$root/etc/apt/sources.list.d/backports.list"
in_root apt-get update -q
in_root apt-get install -q -y --download-only --no-install-recommends %[4]s
in_root apt-get install -q -y --download-only --no-install-recommends -t %[3]s-backports %[5]s
in_root apt-get install -q -y --download-only %[4]s
rm "$root/etc/apt/sources.list.d/backports.list"
`

// customize turns a plain Debian into a cloud provider's image.
const customize = `
echo "I: making it a server image"
# Identities are made by each machine for itself.
: > "$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_*_key* "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/var/lib/systemd/random-seed"

# cloud-init: user data lies on the disk, and the network is already there.
cat > "$root/etc/cloud/cloud.cfg.d/90_localcloud.cfg" <<'X'
datasource_list: [NoCloud]
network: {config: disabled}
manage_etc_hosts: true
X
mkdir -p "$root/etc/systemd/network"
in_root systemctl -q enable systemd-networkd.service ssh.service
in_root systemctl -q disable systemd-networkd-wait-online.service
in_root systemctl -q enable systemd-networkd-wait-online.service

# A serial console is no terminal to log in from.
in_root systemctl -q mask console-getty.service

rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/*.list "$root"/etc/apt/apt.conf.d/99mmdebstrap
rm -rf "$root"/var/log/*.log "$root"/var/log/apt/* "$root"/tmp/*
`

func (r recipe) script() string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\nset -eu\nroot=$1\n")
	b.WriteString("in_root() { chroot \"$root\" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \"$@\"; }\n")
	fmt.Fprintf(&b, r.DownloadFmt, keyring, r.Mirror.Archive, r.Release,
		strings.Join(r.Downloaded, " "), strings.Join(r.Backports, " "))
	b.WriteString(r.Customize)
	b.WriteString(r.writeFile("/etc/apt/sources.list.d/debian.sources", fmt.Sprintf(
		"Types: deb\nURIs: %s\nSuites: %s %s-updates\nComponents: main\nSigned-By: %s\n\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nSigned-By: %s\n",
		seenByMachines(r.Mirror.Archive), r.Release, r.Release, keyring, seenByMachines(r.Mirror.Security), r.Release, keyring)))
	b.WriteString(r.writeFile("/etc/apt/apt.conf.d/80localcloud", r.aptConf()))
	return b.String()
}

func (r recipe) aptConf() string {
	lines := []string{fmt.Sprintf("Acquire::http::Proxy %q;", ProxyURL)}
	for key, value := range r.Mirror.Options {
		lines = append(lines, fmt.Sprintf("%s %q;", key, value))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n") + "\n"
}

func (recipe) writeFile(path, content string) string {
	return fmt.Sprintf("cat > \"$root%s\" <<'X'\n%sX\n", path, content)
}
