#!/usr/bin/env bash
# The fault matrix on real machines: an upgrade with something going wrong in each of its phases, and
# with every kind of bad release. Prints a line a case and then the table, which stays in
# bin/faults.txt.
#
#   scripts/faults.sh              all of it
#   FAULTS=2/3 scripts/faults.sh   a third, with some of each kind
#   FAULTS=today scripts/faults.sh the third whose turn it is
#   FAULTS='swap/|power cut' scripts/faults.sh   cases by name
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

needs_root faults
scripts/install-packages.sh test
build_programs
bin/localcloud build
bin/localcloud build mattermost-9.10.1 mattermost-9.11.0 mattermost-9.10.{2,3,4,5,6,7,8,9,11}
# In its folder, where go test shows each line when it is written.
cd infra/localcloud/faults
FAULTS=${FAULTS:-all} exec go test -tags machine -count 1 -timeout 3h "$@"
