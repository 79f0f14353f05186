#!/usr/bin/env bash
# Brings the operating systems of our stacks' servers up to date, in their windows: the canary alone,
# then the others, and none after one that went wrong. See lib.sh for the settings.
#
# Exit codes: 0 done, nothing to do, or not now; others as upgrade os apply.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/ci/lib.sh

with_results os apply --unattended
publish 'Operating systems'
case $code in
  0 | 10) ;;
  *)
    annotate error "upgrade os apply ended with exit code $code; the summary says what it means"
    exit "$code"
    ;;
esac
