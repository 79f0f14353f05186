#!/usr/bin/env bash
# Upgrades our stacks as far as their policy lets a machine go, in their windows; with them, and with
# one restart for both, their systems. See lib.sh for the settings, and besides:
#
#   TOWNSQUARE_VERSION   this version and no other, now: someone has decided it
#   TOWNSQUARE_DRY_RUN   true: only say what would be done
#   TOWNSQUARE_NOTICE    file with a release notice that started this (on GitHub: the event, where
#                        it is a repository_dispatch); nothing is done unless it concerns us
#   TOWNSQUARE_WATCH     how long to watch a new version before it is kept, such as 60s
#
# Exit codes: 0 done, nothing to do, or not now; others as upgrade apply.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/ci/lib.sh

notice=${TOWNSQUARE_NOTICE:-}
[ "${GITHUB_EVENT_NAME:-}" != repository_dispatch ] || notice=${notice:-${GITHUB_EVENT_PATH:?}}
watch=()
if [ -n "${TOWNSQUARE_WATCH:-}" ]; then
  [[ $TOWNSQUARE_WATCH =~ ^([0-9]{1,6}[hms])+$ ]] || die 2 "TOWNSQUARE_WATCH: $(printf %q "$TOWNSQUARE_WATCH") is not a duration such as 60s"
  watch=(--watch "$TOWNSQUARE_WATCH")
fi
wanted=()
if [ -n "${TOWNSQUARE_VERSION:-}" ]; then
  [[ $TOWNSQUARE_VERSION =~ ^$version_shape$ ]] || die 2 "TOWNSQUARE_VERSION: $(printf %q "$TOWNSQUARE_VERSION") is not a version such as 9.10.0"
  wanted=(--to "$TOWNSQUARE_VERSION")
fi

if [ "${TOWNSQUARE_DRY_RUN:-}" = true ]; then
  with_results plan "${wanted[@]}"
elif [ ${#wanted[@]} -gt 0 ]; then
  with_results apply --yes "${wanted[@]}" "${watch[@]}"
elif [ -n "$notice" ]; then
  with_results notice --apply "${watch[@]}" <"$notice"
else
  with_results apply --all --unattended "${watch[@]}"
fi
publish 'Mattermost upgrade'

waiting=$(value waiting)
[ -z "$waiting" ] || annotate warning "Mattermost $waiting waits for a person: run this workflow with that version"
case $code in
  0 | 10) ;;
  12) annotate warning "The vendor's pages do not list the release of the notice yet; the next scheduled run sees it" ;;
  13) annotate warning "The release of the notice is skipped, or cannot be installed; the reason is in the summary" ;;
  *)
    annotate error "upgrade ended with exit code $code; the summary says what it means"
    exit "$code"
    ;;
esac
