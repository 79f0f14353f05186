#!/usr/bin/env bash
# Is everything in the cloud as the program says? Asks the cloud itself (--refresh) and says in words
# what was changed by hand. Changes nothing. See lib.sh for the settings, and besides:
#
#   TOWNSQUARE_PULUMI    the command to run in place of pulumi
#
# Exit codes: 0 as it should be, 1 something differs, or Pulumi could not tell.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/ci/lib.sh

read -ra pulumi <<<"${TOWNSQUARE_PULUMI:-pulumi}"
worst=0
each_stack
for stack in "${stacks[@]}"; do
  code=0
  (cd "$project" && "${pulumi[@]}" preview --stack "$stack" --refresh --expect-no-changes --non-interactive) >"$work/said" 2>&1 || code=$?
  cat "$work/said"
  # Lines such as " ~  digitalocean:index:Firewall townsquare-prod-firewall update [diff: ~inboundRules]".
  differs=$(awk '
    BEGIN {
      says["update"] = "was changed by hand, or the program was"
      says["create"] = "is missing"
      says["delete"] = "is not in the program"
      says["replace"] = "has to be made anew"
    }
    $1 ~ /^[-+~]+$/ && $2 ~ /:/ && $4 in says {
      diff = match($0, /\[diff: [^]]*\]/) ? ": `" substr($0, RSTART + 7, RLENGTH - 8) "`" : ""
      line = "- `" $3 "` (" $2 ") " says[$4] diff
      if (!seen[line]++) print line
    }' "$work/said")
  printf '#### %s\n\n' "$stack" >>"$summary"
  if [ "$code" = 0 ]; then
    printf 'Everything is as the program says.\n\n' >>"$summary"
    continue
  fi
  worst=1
  if [ -n "$differs" ]; then
    printf '%s\n\nTo put it back:\n\n    pulumi up --refresh --stack %s\n\n' "$differs" "$stack" >>"$summary"
    annotate warning "$stack is not as the program says: $(printf '%s\n' "$differs" | wc -l) resources differ"
  else
    { printf 'Pulumi could not tell (exit code %d):\n\n' "$code" && tail -n 20 "$work/said" | fenced; } >>"$summary"
    annotate error "pulumi preview ended with exit code $code for $stack"
  fi
done
publish 'Drift'
exit "$worst"
