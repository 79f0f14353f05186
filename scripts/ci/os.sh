#!/usr/bin/env bash
# Brings the operating systems of our stacks' servers up to date, in their windows: one server after
# the other, and none after one that went wrong. See lib.sh for the settings.
#
# Exit codes: 0 done, nothing to do, or not now; others as upgrade os apply.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/ci/lib.sh

each_stack
for stack in "${stacks[@]}"; do
  code=0
  upgrade os apply --unattended --stack "$stack" "${access[@]}" | tee "$work/said" || code=$?
  { printf '#### %s\n\n' "$stack" && fenced <"$work/said"; } >>"$summary"
  case $code in
    0 | 10) ;;
    *) die "$code" "upgrade os apply ended with exit code $code on $stack; the stacks after it were not touched" ;;
  esac
done
publish 'Operating systems'
