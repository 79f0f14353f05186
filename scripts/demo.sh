#!/usr/bin/env bash
# The whole product on this machine: a server from `pulumi up`, Mattermost 7.7.0 from `upgrade
# apply`, people on it, then 9.10.0, and everything the people made still there.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

readonly cloud=demo first=7.7.0 second=9.10.0
readonly home=/var/lib/townsquare-cloud/$cloud
identity=$home/secrets/ops_ed25519
people=$home/people.json
visits=$home/visits.json
began=$SECONDS

# inside COMMAND...: on the cloud's private network, with its names and its authority's certificate.
inside() { bin/localcloud exec --cloud $cloud -- "$@"; }

# show COMMAND...: what a person would type, then what it does.
show() {
  printf '\n$ %s\n' "$*"
}

upgrade() { # upgrade ARGUMENTS...: of bin/upgrade; the demo's key is not in ~/.ssh
  show upgrade "$@"
  inside "$root/bin/upgrade" "$@" --identity "$identity"
}

needs_root demo
title "1  What is missing, and what is built once"
[ -d "$TOWNSQUARE_CACHE/base" ] || say "The first time this takes 10 to 20 minutes: tools, Mattermost and a base system are built into $TOWNSQUARE_CACHE (3 GB)."
scripts/install-packages.sh demo
build_programs
bin/localcloud build

title "2  The cloud, and \`pulumi up\`"
if [ -d "$home" ]; then
  say "A demo is here already. It is removed first; what was built is used again."
  bin/localcloud down --cloud $cloud
fi
bin/localcloud up --cloud $cloud --forward
bin/localcloud mirror publish --cloud $cloud $first $second --esr 9.10
show pulumi up --stack dev
bin/localcloud pulumi up --cloud $cloud --stack dev
url=$(bin/localcloud pulumi outputs --cloud $cloud --stack dev --json | sed -n 's/.*"url": *"\([^"]*\)".*/\1/p')
[ -n "$url" ] || die "the stack has no output named url"

title "3  Mattermost $first, and people on it"
upgrade apply --stack dev --to $first --yes
say
say "People arrive at $url:"
inside "$root/bin/demo" fill --url "$url" --file "$people"

title "4  The upgrade"
code=0
upgrade check --stack dev || code=$?
[ $code = 10 ] || die "upgrade check ended with $code, not with 10 (an update is available)"
say "(exit code 10: an update is available)"
upgrade plan --stack dev

# Not through inside: $! must be the program that is told to end.
bin/localcloud exec --cloud $cloud -- "$root/bin/demo" poll --url "$url" --file "$visits" &
poller=$!
trap 'kill $poller 2>/dev/null || true' EXIT
sleep 1
upgrade apply --stack dev --yes
kill -TERM $poller
wait $poller || true
trap - EXIT

say
say "Is everything still there?"
inside "$root/bin/demo" check --url "$url" --file "$people"

title "5  Report"
show upgrade history --stack dev
inside "$root/bin/upgrade" history --stack dev --identity "$identity"
say
say "Seen from outside: $(bin/demo visits --file "$visits")"
# What is typed next needs the cloud's network and the demo's key.
cat >bin/demo-upgrade <<SCRIPT
#!/bin/sh
exec '$root/bin/localcloud' exec --cloud $cloud -- '$root/bin/upgrade' "\$@" --stack dev --project '$root' --identity '$identity'
SCRIPT
chmod 755 bin/demo-upgrade
mapfile -t account < <(bin/demo account --file "$people")
host=${url#https://}
cat <<TEXT

Log in        $url  as ${account[0]}  with  ${account[1]}
              From this machine's browser: add the line  127.0.0.77 $host  to /etc/hosts, and
              trust $home/trust.pem (an authority made for this demo alone).
              By this terminal:  bin/localcloud exec --cloud $cloud -- curl -s $url/api/v4/system/ping
Try next      bin/demo-upgrade status             (upgrade with the demo's stack and key; takes every command)
              bin/demo-upgrade rollback --show
              bin/demo-upgrade backup verify
              bin/localcloud machine list --cloud $cloud
              bin/localcloud pulumi preview --cloud $cloud --stack dev
Remove it     make demo-down
TEXT
printf '\nThe demo took %d min %02d s.\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
