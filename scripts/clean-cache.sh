#!/usr/bin/env bash
# Removes what the demo, the tests and the linters built outside the tree. Go's own caches are not
# touched: `go clean -cache -modcache` is for those.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ -d "$TOWNSQUARE_CACHE" ] || { say "There is no cache at $TOWNSQUARE_CACHE."; exit 0; }
for cloud in /var/lib/townsquare-cloud/*/; do
  [ ! -d "$cloud" ] || die "a local cloud still runs on it: type  bin/localcloud down --cloud $(basename "$cloud")"
done
for part in base debian tools mirror; do
  rm -rf "${TOWNSQUARE_CACHE:?}/$part"
done
rmdir --ignore-fail-on-non-empty "$TOWNSQUARE_CACHE"
if [ -d "$TOWNSQUARE_CACHE" ]; then
  say "Removed what was built in $TOWNSQUARE_CACHE. This is not of Townsquare and stays:" "$(ls -A "$TOWNSQUARE_CACHE")"
else
  say "Removed $TOWNSQUARE_CACHE."
fi
