#!/usr/bin/env bash
# The tests on real machines: those that begin with `//go:build machine`. Arguments go to go test,
# such as  -run TestUpgrade -v.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

needs_root test-machine
scripts/install-packages.sh test
build_programs
bin/localcloud build
bin/localcloud build mattermost-{7.7.1,9.10.1,9.11.0} mattermost-9.10.{2,3,4,5,6,7,8,9,11} # for the tests: patches, a minor, and nine that fail

# Some cases of the fault matrix, and every other bad release by the date. All of it, which takes an hour, is
# scripts/faults.sh; a third of it runs every night (.github/workflows/faults.yml).
some='start/power cut in the middle|stop/upgrader killed as|commit/upgrader killed|(facts|watch)/operator killed|checkpoint/database killed'
turns=('exits$|refuses the conf|signed by a key' 'needs a newer|of another hash|is ready and')
some+="|release/(${turns[10#$(date +%j) % 2]})"
export FAULTS=${FAULTS:-$some}

# Only such tests: the others ran in test-unit.sh. Two packages at a time, each with a cloud of its own:
# much of a test is waiting.
for module in . infra/localcloud; do
  mapfile -t files < <(cd "$module" && git grep --untracked -lE '^//go:build machine' -- '*_test.go' ':!infra/localcloud')
  [ ${#files[@]} -gt 0 ] || continue
  (
    cd "$module"
    mapfile -t packages < <(printf './%s\n' "${files[@]%/*}" | sort -u)
    names=$(sed -nE 's/^func (Test[A-Za-z0-9_]+)\(t \*testing\.T\).*/\1/p' "${files[@]}" | paste -sd '|')
    go test -tags machine -count 1 -p 2 -timeout 150m -run "^($names)\$" "$@" "${packages[@]}"
  )
done
