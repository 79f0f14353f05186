#!/usr/bin/env bash
# Installs the Debian packages that something needs, and only those that are missing. Says which
# and why before it does so.
#
#   scripts/install-packages.sh demo | test | bench | lint …
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ $# -gt 0 ] || die "say what for: scripts/install-packages.sh demo, test, bench or lint"

# who needs it | package | a command, file or pattern that shows it is there | what it is for
packages() {
  cat <<'LIST'
demo test|systemd-container|systemd-nspawn|runs the machines of the local cloud
demo test|mmdebstrap|mmdebstrap|makes the Debian image that they start from
demo test|debian-archive-keyring|/usr/share/keyrings/debian-archive-keyring.gpg|checks what Debian signed
demo test|nftables|nft|is the cloud firewall, in a network namespace of its own
demo test|iproute2|ip|lays the machines' private network
demo test|e2fsprogs|mkfs.ext4|formats disks and volumes
demo test|util-linux|nsenter|runs programs in machines
demo test|ca-certificates|/etc/ssl/certs/ca-certificates.crt|lists the authorities this computer trusts
test|openssh-client|ssh-keygen|makes keys for the tests of the scripts
test|postgresql|/usr/lib/postgresql/*/bin/initdb|a scratch server for unit tests; none is left running
test|restic|restic|makes and reads the repositories of unit tests
test|gpg|gpg|checks the signatures of the release mirror as people do
bench|strace|strace|counts what an upgrade with nothing to do writes
lint test|shellcheck|shellcheck|checks the shell scripts
LIST
}

there() { # there PROOF
  case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
  esac
}

wanted() { # wanted WHO PURPOSE...
  local purpose who=$1
  shift
  for purpose; do
    case " $who " in *" $purpose "*) return 0 ;; esac
  done
  return 1
}

missing=()
while IFS='|' read -r who package proof why; do
  if wanted "$who" "$@" && ! there "$proof"; then
    [ ${#missing[@]} -gt 0 ] || say "Installing with apt:"
    printf '  %-23s %s\n' "$package" "$why"
    missing+=("$package")
  fi
done < <(packages)

if [ ${#missing[@]} -eq 0 ]; then
  say "All Debian packages are there."
  exit 0
fi
[ "$(id -u)" = 0 ] || die "apt needs root: type  sudo scripts/install-packages.sh $*"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() { "$@" >"$log" 2>&1 || { cat "$log" >&2; die "$1 ended with an error"; }; }
# On a computer that has just started, Debian's own timers are at work too.
apt() { apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 "$@"; }
install_now() { quietly apt install --yes --no-install-recommends "$@"; }
apt_update() { # for the lock of its lists apt does not wait
  local try
  for try in 15 30 60 120; do
    ! apt update || return 0
    sleep "$try"
  done
  apt update
}
quietly apt_update
case " ${missing[*]} " in
  *' postgresql '*)
    # The programs are wanted, not a server that Debian would start at once.
    install_now postgresql-common
    sed -i 's/^#\? *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    ;;
esac
install_now "${missing[@]}"
say "Installed."
