#!/usr/bin/env bash
# Comments on a pull request what its program would build. Changes nothing. It runs that program with all
# it is given, so give it a stack of its own, never production's secrets. See lib.sh for the settings, and
# besides:
#
#   TOWNSQUARE_PULUMI    the command to run in place of pulumi
#   PR_NUMBER            the pull request that gets the comment (default: none)
#
# Exit codes: 0 previewed, 1 a stack cannot be built as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/ci/lib.sh

read -ra pulumi <<<"${TOWNSQUARE_PULUMI:-pulumi}"
worst=0
each_stack
most=$((60000 / ${#stacks[@]} - 300)) # of each: GitHub takes 65536 characters in a comment
for stack in "${stacks[@]}"; do
  code=0
  (cd "$project" && "${pulumi[@]}" preview --stack "$stack" --non-interactive) >"$work/said" 2>&1 || { code=$? worst=1; }
  cat "$work/said"
  {
    printf '#### %s: %s\n\n' "$stack" "$([ "$code" = 0 ] && echo 'what would change' || echo 'cannot be built')"
    fenced <"$work/said" >"$work/fenced"
    if [ "$(wc -c <"$work/fenced")" -le "$most" ]; then
      cat "$work/fenced"
    else # its end, from the beginning of a line on
      printf '    …\n'
      tail -c "$most" "$work/fenced" | sed 1d
    fi
  } >>"$summary"
done
publish 'Preview'
if [[ ${PR_NUMBER:-} =~ ^[0-9]+$ ]] && command -v gh >/dev/null; then
  gh pr comment "$PR_NUMBER" --edit-last --create-if-none --body-file "$summary" >/dev/null
fi
exit "$worst"
