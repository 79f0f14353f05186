# What the scheduled scripts share; sourced from the tree's root, first. The same on GitHub, on GitLab and in cron:
#
#   TOWNSQUARE_STACKS    the stacks, separated by blanks, or all (default: prod)
#   TOWNSQUARE_PROJECT   the folder with Pulumi.yaml (default: this checkout)
#   TOWNSQUARE_SSH_KEY   the private key to log in with, itself; or
#   TOWNSQUARE_IDENTITY  the file that it is in (default: the agent, then ~/.ssh)
#   GITHUB_STEP_SUMMARY  file that gets the report as Markdown (default: standard output)
#   GITHUB_OUTPUT        file that gets pending=, waiting=, done= and exit=
#
# and what Pulumi needs to find the stacks: PULUMI_ACCESS_TOKEN; or PULUMI_BACKEND_URL with
# PULUMI_CONFIG_PASSPHRASE and, where that is a bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
# shellcheck shell=bash
{ set +x; } 2>/dev/null # whoever debugs with -x must not see secrets
export LC_ALL=C.UTF-8
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"; ! on_github || printf "::%s::\n" "$token"' EXIT
trap 'exit 130' INT TERM
summary=$work/summary.md outputs=$work/outputs
: >"$summary"
: >"$outputs"

say() { printf '%s\n' "$*"; }

die() { # die CODE TEXT...: in the summary, too, where people look
  local code=$1
  shift
  annotate error "$*"
  say "$*" | fenced >>"$summary"
  publish 'Townsquare'
  exit "$code"
}

on_github() { [ "${GITHUB_ACTIONS:-}" = true ]; }

# GitHub masks a secret of several lines as a whole only, so each line is named to it. What is
# printed here never shows: the runner takes it away. From then on the runner obeys only what
# annotate prints: a line that a program prints, which may come from a server, is not a command.
if on_github; then
  for name in TOWNSQUARE_SSH_KEY PULUMI_CONFIG_PASSPHRASE PULUMI_ACCESS_TOKEN AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY; do
    while IFS= read -r line; do
      [ ${#line} -lt 8 ] || [[ $line == -----* ]] || printf '::add-mask::%s\n' "$line"
    done <<<"${!name:-}"
  done
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf '::stop-commands::%s\n' "$token"
fi

# annotate notice|warning|error TEXT: beside the run on GitHub, on stderr elsewhere.
annotate() {
  local text=$2
  if on_github; then
    text=${text//'%'/%25} text=${text//$'\r'/%0D} text=${text//$'\n'/%0A}
    printf '::%s::\n::%s::%s\n::stop-commands::%s\n' "$token" "$1" "$text" "$token"
  else
    printf '%s: %s\n' "$1" "$text" >&2
  fi
}

# publish TITLE: hands over what summary and outputs hold.
publish() {
  [ ! -s "$summary" ] || sed -i "1i ### $1\n" "$summary"
  if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    cat "$summary" >>"$GITHUB_STEP_SUMMARY"
  else
    cat "$summary"
  fi
  [ -z "${GITHUB_OUTPUT:-}" ] || cat "$outputs" >>"$GITHUB_OUTPUT"
}

# fenced: standard input as a block of Markdown that nothing in it can end.
fenced() { sed 's/\t/    /g; s/[[:cntrl:]]//g; s/^/    /' && printf '\n'; }

# value KEY: of the outputs; the last one counts.
value() { sed -n "s/^$1=//p" "$outputs" | tail -n 1; }

# Where the stacks are, and which.
project=$(cd "${TOWNSQUARE_PROJECT:-$root}" && pwd)
stacks=()
read -ra stacks <<<"${TOWNSQUARE_STACKS:-prod}"
access=(--project "$project") # and how to log in
if [ -n "${TOWNSQUARE_SSH_KEY:-}" ]; then
  (umask 077 && printf '%s\n' "$TOWNSQUARE_SSH_KEY" >"$work/key")
  unset TOWNSQUARE_SSH_KEY # no program that is started from here needs it
  access+=(--identity "$work/key")
elif [ -n "${TOWNSQUARE_IDENTITY:-}" ]; then
  access+=(--identity "$TOWNSQUARE_IDENTITY")
fi
targets=("${access[@]}")
if [ "${stacks[*]}" = all ]; then
  targets+=(--all-stacks)
else
  for stack in "${stacks[@]}"; do
    [[ $stack =~ ^[A-Za-z0-9_.][A-Za-z0-9_./-]*$ ]] || die 2 "TOWNSQUARE_STACKS: $(printf %q "$stack") is no name of a stack"
    targets+=(--stack "$stack")
  done
fi

# each_stack: the names, one by one, also where all are meant; for commands that take one stack.
each_stack() {
  [ "${stacks[*]}" = all ] || return 0
  mapfile -t stacks < <(cd "$project" && pulumi stack ls --json --non-interactive | sed -n 's/^ *"name": "\([A-Za-z0-9_./-]*\)",*$/\1/p')
  [ ${#stacks[@]} -gt 0 ] || die 1 "Pulumi lists no stack"
}

# upgrade ARGUMENTS...: the program of this checkout, built if it is not there.
upgrade() { "$root/bin/upgrade" "$@"; }
if [ ! -x "$root/bin/upgrade" ]; then
  command -v go >/dev/null || die 1 "bin/upgrade is not there, and neither is Go to build it"
  say "building upgrade"
  (cd "$root" && CGO_ENABLED=0 go build -trimpath -o bin/upgrade ./upgrade) || die 1 "upgrade could not be built"
fi

# The shape of a version. The program's output is checked again here: it came from servers, and goes to
# commands, issues and GITHUB_OUTPUT.
readonly version_shape='[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}'

# with_results COMMAND...: of upgrade, for all stacks; sets $code.
with_results() {
  code=0
  upgrade "$@" "${targets[@]}" --markdown "$summary" --outputs "$outputs" || code=$?
  local list="(($version_shape|system)( ($version_shape|system))*)?" nl=$'\n'
  if [ -s "$outputs" ] && ! [[ $(<"$outputs") =~ ^pending=$list${nl}waiting=$list${nl}done=$list${nl}exit=[0-9]+$ ]]; then
    : >"$outputs"
    [ "$code" != 0 ] && [ "$code" != 10 ] || code=1
    annotate error "the result of upgrade $1 has a value that is not a version; the result is ignored"
  fi
  [ -s "$summary" ] || [ "$code" = 0 ] || say "\`upgrade $1\` ended with exit code $code before it could look at a server; see the log." >>"$summary"
}
