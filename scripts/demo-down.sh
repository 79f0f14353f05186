#!/usr/bin/env bash
# Removes the demo: machines, network, addresses, names, certificates, state. What was built stays
# in the cache, for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

needs_root demo-down
[ -x bin/localcloud ] || build_programs
bin/localcloud down --cloud demo
rm -f bin/localcloud bin/demo bin/demo-upgrade # not bin/upgrade, which people may use for a server of theirs
[ ! -d bin ] || rmdir --ignore-fail-on-non-empty bin
say "The demo is gone."
if [ -d "$TOWNSQUARE_CACHE" ]; then
  say "What it built is kept for the next time: $(du -sh "$TOWNSQUARE_CACHE" | cut -f1) in $TOWNSQUARE_CACHE."
  say "To remove that too:  make clean-cache"
fi
