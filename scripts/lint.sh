#!/usr/bin/env bash
# Checks the form of everything: Go (format, vet, staticcheck, the arrows between packages), shell
# scripts, workflows, file lengths. Prints all findings before it fails.
# shellcheck disable=SC2317 # the checks are called by name, through check
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

readonly longest=400 # lines; a longer file wants to be two
failed=0

check() { # check TITLE COMMAND...: runs it, remembers a failure, says how long it took
  local title=$1 start=$SECONDS
  shift
  if "$@"; then
    printf '  ok    %s (%d s)\n' "$title" $((SECONDS - start))
  else
    printf '  FAIL  %s\n' "$title"
    failed=1
  fi
}

files() { # files PATTERN...: the tree's own files, new ones included, without those being deleted
  git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do
    if [ -f "$file" ]; then printf '%s\n' "$file"; fi
  done
}

formatted() {
  local wrong
  wrong=$(files '*.go' | xargs --no-run-if-empty gofmt -l)
  [ -z "$wrong" ] || { printf 'gofmt -w these:\n%s\n' "$wrong"; return 1; }
}

short() {
  local wrong
  wrong=$(files '*.go' '*.sh' | xargs --no-run-if-empty wc -l | awk -v most="$longest" '$2 != "total" && $1 > most')
  [ -z "$wrong" ] || { printf 'longer than %d lines:\n%s\n' "$longest" "$wrong"; return 1; }
}

shell() { files '*.sh' '.ci/run' | xargs --no-run-if-empty shellcheck --external-sources --severity=style; }

golang() ( # in a module's folder
  cd "$1"
  "$tools/golangci-lint" run --allow-parallel-runners --config "$root/.golangci.yml" ./...
)

# With shellcheck for what stands in the workflows themselves.
workflows() (
  build_tools scripts/tools/actionlint
  "$tools/actionlint" -shellcheck shellcheck
)

needs shellcheck
build_tools scripts/tools
check 'gofmt' formatted
check "files of at most $longest lines" short
check 'shellcheck' shell
check 'actionlint' workflows
for module in . infra/localcloud; do
  check "golangci-lint in $module" golang "$module"
done
exit $failed
