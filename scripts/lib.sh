# What the scripts share. Sourced, from the tree's root, after `set -euo pipefail`.
# shellcheck shell=bash

export root; root=$(pwd)
export TOWNSQUARE_CACHE=${TOWNSQUARE_CACHE:-/var/cache/townsquare}

# sudo gives a path of its own, in which Go is seldom.
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || {
  echo "Go 1.26 is missing, or not in PATH" >&2
  exit 1
}

# One way to build everything, so that the tools, the programs and their tests share what is
# compiled. No C compiler is needed.
export CGO_ENABLED=0
GOFLAGS=$(go env GOFLAGS)
case " $GOFLAGS " in *' -trimpath '*) ;; *) GOFLAGS="$GOFLAGS -trimpath" ;; esac
export GOFLAGS

say() { printf '%s\n' "$*"; }

# title TEXT: a step of a longer story.
title() { printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

needs() { # needs COMMAND...: stop with what to type when one is missing
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || die "$command is missing: type  sudo scripts/install-packages.sh demo test lint"
  done
}

needs_root() {
  [ "$(id -u)" = 0 ] || die "this starts machines and needs root: type  sudo make $1"
}

# build_tools MODULE builds the tools of a module once for each state of its go.mod and sets $tools to
# where they are.
build_tools() {
  local key module=$1 name
  name=$(basename "$module")
  [ "$name" != tools ] || name=lint
  key=$( (go version && cat "$module/go.mod" "$module/go.sum") | sha256sum | cut -c1-16)
  if [ "$(id -u)" != 0 ] && [ ! -w "$TOWNSQUARE_CACHE" ]; then
    TOWNSQUARE_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/townsquare
  fi
  tools=$TOWNSQUARE_CACHE/tools/$name-$key/bin
  [ ! -d "$tools" ] || return 0
  say "building $name (once; the largest takes about 3 minutes on 2 cores)"
  mkdir -p "$TOWNSQUARE_CACHE/tools"
  local partial
  partial=$(mktemp -d "$TOWNSQUARE_CACHE/tools/$name-XXXXXX.partial")
  (cd "$module" && go build -v -o "$partial/bin/" tool 2>&1) | counting
  mv -T "$partial" "$(dirname "$tools")" 2>/dev/null || rm -rf "$partial" # another run was quicker
}

# counting shows the package names of `go build -v` as a number that grows, and any other line as
# it is.
counting() {
  awk -v tty="$([ -t 1 ] && echo 1)" '
    / / { print; next }
    { n++; if (tty) printf "\r  %d packages compiled", n; else if (n % 200 == 0) printf "  %d packages compiled\n", n; fflush() }
    END { if (tty && n) printf "\n" }'
}

# build_programs puts localcloud, upgrade and the demo's people in bin/.
build_programs() {
  say "building localcloud, upgrade and the demo's people (minutes the first time)"
  mkdir -p bin
  go build -v -o bin/upgrade ./upgrade 2>&1 | counting
  go build -C infra/localcloud -v -o "$root/bin/" . ./demo 2>&1 | counting
}
