#!/usr/bin/env bash
# Installs the Debian packages that the demo, the tests and the linters need, and only those that
# are missing. Says which and why before it does so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# package | a file or command that shows it is there | what it is for
packages() {
  cat <<'LIST'
systemd-container|systemd-nspawn|runs the machines of the local cloud
mmdebstrap|mmdebstrap|makes the Debian image that they start from
debian-archive-keyring|/usr/share/keyrings/debian-archive-keyring.gpg|checks what Debian signed
nftables|nft|is the cloud firewall, in a network namespace of its own
iproute2|ip|lays the machines' private network
e2fsprogs|mkfs.ext4|formats disks and volumes
util-linux|nsenter|runs programs in machines
ca-certificates|/etc/ssl/certs/ca-certificates.crt|lists the authorities this computer trusts
shellcheck|shellcheck|checks the shell scripts
LIST
}

missing=()
while IFS='|' read -r package proof why; do
  if [ ! -e "$proof" ] && ! PATH=$PATH:/usr/sbin:/sbin command -v "$proof" >/dev/null; then
    [ ${#missing[@]} -gt 0 ] || say "Installing with apt:"
    printf '  %-18s %s\n' "$package" "$why"
    missing+=("$package")
  fi
done < <(packages)

if [ ${#missing[@]} -eq 0 ]; then
  say "All Debian packages are there."
  exit 0
fi
[ "$(id -u)" = 0 ] || die "apt needs root: type  sudo scripts/install-packages.sh"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() { "$@" >"$log" 2>&1 || { cat "$log" >&2; die "$1 ended with an error"; }; }
quietly apt-get update
quietly apt-get install --yes --no-install-recommends "${missing[@]}"
say "Installed."
