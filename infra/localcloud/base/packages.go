package base

// HostPackages are the Debian packages that this computer needs to be a local
// cloud, with what each is for.
var hostPackages = []HostPackage{
	{Name: "systemd-container", Program: "systemd-nspawn", Why: "runs the machines"},
	{Name: "mmdebstrap", Program: "mmdebstrap", Why: "builds the machines' Debian"},
	{Name: "debian-archive-keyring", File: "/usr/share/keyrings/debian-archive-keyring.gpg", Why: "checks what Debian signed"},
	{Name: "nftables", Program: "nft", Why: "is the cloud's firewall"},
	{Name: "iproute2", Program: "ip", Why: "makes the cloud's network"},
	{Name: "e2fsprogs", Program: "mkfs.ext4", Why: "formats disks and volumes"},
	{Name: "util-linux", Program: "nsenter", Why: "runs programs in machines"},
	{Name: "ca-certificates", File: "/etc/ssl/certs/ca-certificates.crt", Why: "lists the authorities this computer trusts"},
}

// installed is what every machine has from the start: what DigitalOcean's
// debian-13-x64 has and this project depends on, or has to cope with.
var installed = []string{
	"systemd", "systemd-sysv", "dbus", "libpam-systemd", "udev",
	"openssh-server", "cloud-init", "sudo", "unattended-upgrades",
	"ca-certificates", "curl", "wget", "gpg", "gpgv", "apt-utils", "debian-archive-keyring",
	"iproute2", "iputils-ping", "netbase", "procps", "kmod", "e2fsprogs", "fdisk",
	"python3", "less", "vim-tiny", "cron", "logrotate", "tzdata", "locales", "bash-completion",
}

// downloaded is what cloud-init installs at first boot. The packages lie in
// apt's cache, so that an ordinary apt-get install needs no network for them.
var downloaded = []string{
	"postgresql-17", "postgresql-client-17", "restic", "nftables", "needrestart",
	"zstd", "jq", "acl", "libcap2-bin", "chrony", "rsync",
}

// downloadedBackports are the same, from trixie-backports.
var downloadedBackports = []string{"caddy"}
