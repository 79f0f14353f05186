#!/usr/bin/env bash
# Runs one of the scheduled scripts from cron, on any machine with this checkout, Pulumi, and a key
# that the servers know. Says nothing when there was nothing to do, so that cron's e-mail means
# something: check says each day what is new, also while it waits; upgrade and os only what was done,
# or went wrong. Everything is in the log.
#
#   scripts/cron/run.sh check|upgrade|os|drift
#
# The settings of scripts/ci/lib.sh are lines such as TOWNSQUARE_STACKS="canary prod" in
# ~/.config/townsquare/environment, which nobody else may read. Pulumi and Go are looked for where
# their own instructions put them; if they are elsewhere, say so there: PATH=/opt/pulumi:$PATH.
# The log is ~/.local/state/townsquare/NAME.log.
set -euo pipefail
PATH=$PATH:${HOME:?}/.pulumi/bin:/usr/local/go/bin:/usr/local/bin # cron's own is /usr/bin:/bin
case ${1:-} in
  check) name=$1 news=pending ;;
  upgrade | os | drift) name=$1 news='done' ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | head -n 14 >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/../.."
settings=${XDG_CONFIG_HOME:-$HOME/.config}/townsquare/environment
state=${XDG_STATE_HOME:-$HOME/.local/state}/townsquare
if [ -e "$settings" ]; then
  case $(stat -c %a "$settings") in
    ?00) ;;
    *)
      echo "$settings holds secrets and can be read by others; type: chmod 600 $settings" >&2
      exit 2
      ;;
  esac
  set -a
  # shellcheck source=/dev/null
  . "$settings"
  set +a
fi
umask 077
mkdir -p "$state"
exec 9>"$state/lock"
flock --timeout 7200 9 || { # two never run
  echo "another scheduled run has not ended for two hours" >&2
  exit 11
}
began=$(date -u '+%Y-%m-%d %H:%M:%S')
report=$(mktemp) outputs=$(mktemp)
trap 'rm -f "$report" "$outputs"' EXIT
code=0
GITHUB_STEP_SUMMARY=$report GITHUB_OUTPUT=$outputs "scripts/ci/$name.sh" >"$report.log" 2>&1 9>&- || code=$?
{ printf '== %s UTC, %s: exit code %d\n' "$began" "$name" "$code" && cat "$report.log" "$report"; } >>"$state/$name.log"
rm -f "$report.log"
if [ "$code" != 0 ] || grep -q -e "^$news=." -e '^exit=13$' "$outputs"; then # 13: needs attention
  cat "$report"
fi
exit "$code"
