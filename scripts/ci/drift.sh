#!/usr/bin/env bash
# Is everything as the program says, in the cloud and on the servers? Asks the cloud itself (--refresh)
# and each server, and says in words what was changed by hand. Changes nothing. See lib.sh for the
# settings, and besides:
#
#   TOWNSQUARE_PULUMI    the command to run in place of pulumi
#
# Exit codes: 0 as it should be, 1 something differs, or could not be looked at.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/ci/lib.sh

read -ra pulumi <<<"${TOWNSQUARE_PULUMI:-pulumi}"
worst=0

# cloud STACK: what differs there.
cloud() {
  local stack=$1 code=0 differs
  (cd "$project" && "${pulumi[@]}" preview --stack "$stack" --refresh --expect-no-changes --non-interactive) >"$work/said" 2>&1 || code=$?
  cat "$work/said"
  if [ "$code" = 0 ]; then
    printf 'Everything in the cloud is as the program says.\n\n' >>"$summary"
    return
  fi
  worst=1
  # Lines such as " ~  digitalocean:index:Firewall townsquare-prod-firewall update [diff: ~inboundRules]".
  differs=$(awk '
    BEGIN {
      says["update"] = "was changed by hand, or the program was"
      says["create"] = "is missing"
      says["delete"] = "is not in the program"
      says["replace"] = "has to be made anew"
    }
    function plain(text) { gsub(/[^A-Za-z0-9 .,:;\/_~+*\[\]-]/, "?", text); return text } # nothing that ends the backquotes
    $1 ~ /^[-+~]+$/ && $2 ~ /^[A-Za-z0-9\/_-]+:[A-Za-z0-9:\/_-]+$/ && $4 in says {
      diff = match($0, /\[diff: [^]]*\]/) ? ": `" plain(substr($0, RSTART + 7, RLENGTH - 8)) "`" : ""
      line = "- `" plain($3) "` (" $2 ") " says[$4] diff
      if (!seen[line]++) print line
    }' "$work/said")
  if [ -n "$differs" ]; then
    printf '%s\n\nTo repair it:\n\n    pulumi up --refresh --stack %s\n\n' "$differs" "$stack" >>"$summary"
    annotate warning "$stack is not as the program says: $(printf '%s\n' "$differs" | wc -l) resources differ"
  else
    { printf 'Pulumi could not tell (exit code %d):\n\n' "$code" && tail -n 20 "$work/said" | fenced; } >>"$summary"
    annotate error "pulumi preview ended with exit code $code for $stack"
  fi
}

# server STACK: what differs on it from what the stack says and first boot made.
server() {
  local stack=$1 code=0
  upgrade repair --show --stack "$stack" "${access[@]}" >"$work/said" 2>"$work/errors" || code=$?
  cat "$work/said" "$work/errors"
  case $code in
    0) printf 'The server is as its stack says.\n\n' >>"$summary" ;;
    10)
      worst=1
      { printf 'On the server:\n\n' && fenced <"$work/said" && printf 'To repair it:\n\n    upgrade repair --stack %s\n\n' "$stack"; } >>"$summary"
      annotate warning "the server of $stack is not as its stack says"
      ;;
    *)
      worst=1
      { printf 'The server could not be looked at (exit code %d):\n\n' "$code" && cat "$work/said" "$work/errors" | tail -n 20 | fenced; } >>"$summary"
      annotate error "upgrade repair --show ended with exit code $code for $stack"
      ;;
  esac
}

each_stack
for stack in "${stacks[@]}"; do
  printf '#### %s\n\n' "$stack" >>"$summary"
  cloud "$stack"
  server "$stack"
done
publish 'Drift'
exit "$worst"
