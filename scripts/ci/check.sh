#!/usr/bin/env bash
# Is there a new release for our stacks? Says so in the summary and, where GitHub's `gh` is at hand,
# keeps one issue for each pending release: opened or brought up to date with the plan, closed when
# no stack waits for it any more. Changes nothing on any server. See lib.sh for the settings.
#
# Exit codes: 0 looked, whatever was found; others as upgrade check.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/ci/lib.sh

readonly label=mattermost-release

title() { printf 'Mattermost %s is available' "$1"; }

# open_issues: number and title of each, one a line.
open_issues() {
  gh issue list --label "$label" --state open --limit 100 --json number,title --jq '.[] | "\(.number) \(.title)"'
}

# tell VERSION: opens the issue of a pending release, or brings it up to date.
tell() {
  local body=$work/body.md number
  : >"$work/plan.md"
  upgrade plan --to "$1" "${targets[@]}" --markdown "$work/plan.md" >/dev/null || true # a plan that is refused says why, too
  {
    printf 'What an upgrade to it would do now:\n\n'
    cat "$work/plan.md"
    if [[ " $waiting " == *" $1 "* ]]; then
      printf 'It is a larger step, which waits for a person. To begin it:\n\n    gh workflow run upgrade.yml -f version=%s\n\n' "$1"
    else
      printf 'It is installed by itself, in the window.\n\n'
    fi
    printf 'This issue is kept by the workflow "check", and closed when no stack waits for %s any more.\n' "$1"
  } >"$body"
  number=$(title=$(title "$1") awk '{ number = $1; sub(/^[0-9]+ /, "") } $0 == ENVIRON["title"] { print number; exit }' "$work/issues")
  if [ -n "$number" ]; then
    gh issue edit "$number" --body-file "$body" >/dev/null
  else
    gh label create "$label" --force --color 1f883d --description 'A release of Mattermost that a stack waits for' >/dev/null
    gh issue create --title "$(title "$1")" --label "$label" --body-file "$body" >/dev/null
  fi
}

# settle VERSIONS...: closes the issues of all other releases; whatever else has the label is a person's.
settle() {
  local number words version
  while read -r number words; do
    [[ $words =~ ^$(title '[0-9]+\.[0-9]+\.[0-9]+')$ ]] || continue
    for version; do
      [ "$words" != "$(title "$version")" ] || continue 2
    done
    gh issue close "$number" --comment 'No stack waits for this release any more.' >/dev/null
  done <"$work/issues"
}

with_results check --by-itself
pending=$(value pending) waiting=$(value waiting)
publish 'Mattermost releases'
[ "$code" != 13 ] || annotate warning 'a server needs attention and no update will be installed on it; the reason is in the summary'
[ "$code" = 0 ] || [ "$code" = 10 ] || [ "$code" = 13 ] || {
  annotate error "upgrade check ended with exit code $code"
  exit "$code"
}
for version in $pending; do
  annotate warning "$(title "$version")"
done
if on_github && command -v gh >/dev/null; then
  open_issues >"$work/issues"
  for version in $pending; do tell "$version"; done
  # shellcheck disable=SC2086 # one word each
  settle $pending
fi
