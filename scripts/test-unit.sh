#!/usr/bin/env bash
# Unit and component tests of both modules: no root, no network, no machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

for module in . infra/localcloud; do
  (cd "$module" && go test "$@" ./...)
done
