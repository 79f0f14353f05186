#!/usr/bin/env bash
# Measures what users notice of an upgrade, beside the vendor's guide and a bare restart, and what the
# rest costs. Every figure is written down at once, in RESULTS.md and downtime.svg.
#
#   scripts/bench/bench.sh              all of it, into scripts/bench
#   scripts/bench/bench.sh --quick      the smallest size, once, into bin/bench-quick; made for 10 minutes
#   BENCH='downtime 1M|guide' scripts/bench/bench.sh   some parts; --list names them
#   KEEP=1 scripts/bench/bench.sh       leaves the filled servers for the next time (about 12 GB)
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

needs_root bench
scripts/install-packages.sh test bench
build_programs
go build -C infra/localcloud -o "$root/bin/" ./bench
bin/localcloud build
bin/localcloud build mattermost-{9.10.1,9.10.2,9.10.3,9.10.5,9.10.8,9.11.0}

# The bench, the cloud and its machines all run on the first two processors of however many there are.
commit=$(git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)
exec taskset --cpu-list 0,1 bin/bench --commit "$commit" --only "${BENCH:-}" "$@"
