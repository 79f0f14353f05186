//go:build machine

package faults

import (
	"strconv"
	"time"

	"townsquare/infra/localcloud/stage"
)

// releases are the ways in which a release, or what is said of it, can be bad. One that never ran is
// not skipped: it may be the network's fault, or be mended under the same number.
func releases() []kase {
	damaged := func(name string, fault ...string) kase {
		return kase{name: "release/" + name, prepare: mirror(append([]string{"fault"}, fault...)...), heal: vendorWell,
			codes: []int{1, 3}, ends: stage.Before}
	}
	broken := func(name, kind, version string) kase {
		return kase{name: "release/" + name, prepare: mirror("publish", "--bad", kind), version: version,
			codes: []int{4}, ends: stage.Before, skips: true}
	}
	later := broken("dies while it is watched", "crash-later", "9.10.9")
	later.watch = 40 * time.Second
	loops := broken("crash-loops", "crash", "9.10.4")
	loops.watch = 20 * time.Second
	return []kase{
		damaged("truncated", stage.After, "truncated", "--bytes", "20000000"),
		damaged("corrupt", stage.After, "corrupt", "--bytes", "1000000"),
		damaged("of another hash", "archive", "wrong-hash", "--version", stage.After),
		damaged("signed by another key", stage.After+".sig", "wrong-signature"),
		damaged("with no signature", stage.After+".sig", "no-signature"),
		damaged("signed by a key that expired", "key", "expired-key"),
		damaged("not there", stage.After, "status", "--status", "404"),
		damaged("listed on a page of another shape", "archive", "shape"),
		broken("exits", "exit", "9.10.2"),
		broken("segfaults", "segfault", "9.10.6"),
		broken("hangs before it is ready", "hang", "9.10.3"),
		broken("is ready and answers nobody", "deaf", "9.10.8"),
		broken("is another version", "wrong-version", "9.10.5"),
		broken("exits after its migrations", "migrate-exit", "9.10.7"),
		broken("needs a newer PostgreSQL", "newer-postgres", "9.10.11"),
		// These are the good release, on a host that it does not get along with.
		{name: "release/fails half way through its migrations", prepare: inTheWay, heal: outOfTheWay, codes: []int{4}, ends: stage.Before, skips: true},
		{name: "release/waits for a lock in its migrations", prepare: locked, heal: unlocked, codes: []int{4}, ends: stage.Before, skips: true},
		{name: "release/refuses the configuration", prepare: misconfigured, codes: []int{4}, ends: stage.Before, skips: true},
		loops,
		later,
	}
}

// inTheWay makes the seventeenth of the twenty migrations fail: it indexes a table that an
// administrator made under the same name, and that has no such column.
func inTheWay(tr *trial) {
	tr.must(tr.database("set role mattermost; create table poststats (day date)"))
}

func outOfTheWay(tr *trial) { tr.must(tr.database("drop table poststats")) }

// locked has somebody hold a lock on a table as soon as the upgrade has its checkpoint. The lock lets
// everybody read and write the table, and no migration change it.
func locked(tr *trial) {
	tr.must(tr.host(`
cat >/run/report <<'SCRIPT'
sql() { psql -XAtq -h /var/run/postgresql -U mattermost mattermost -c "$1"; }
until [ -n "$(sql "select 1 from pg_database where datname like 'mattermost_checkpoint_%'")" ]; do sleep 0.02; done
sql "begin; lock table notifyadmin in access share mode; select pg_sleep(600)"
SCRIPT
systemd-run --quiet --collect --unit=report bash /run/report`))
}

func unlocked(tr *trial) { tr.must(tr.host("systemctl stop report 2>/dev/null || true")) }

// misconfigured puts a setting into the configuration that the old version does not know, and the
// new one knows and refuses.
func misconfigured(tr *trial) {
	tr.must(tr.host(`
umask 077
config=/var/lib/mattermost/config/config.json
python3 - $config <<PY
import json, sys
path = sys.argv[1]
config = json.load(open(path))
config["WranglerSettings"] = {"AllowedEmailDomain": ["no domain at all"]}
json.dump(config, open(path, "w"), indent=4)
PY`))
}

// database runs SQL as the database's administrator.
func (tr *trial) database(sql string) error {
	return tr.host("runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 mattermost -c " + strconv.Quote(sql))
}

func (tr *trial) must(err error) {
	tr.Helper()
	if err != nil {
		tr.Fatal(err)
	}
}
